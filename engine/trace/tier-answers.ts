import type { PrefixTiers, Wanted } from '../../scheduler/prefix-tiers.js';

/** All that tiers have answered in one `schedule` call: what a replay cannot ask them again. */
export interface TierAnswers {
  /** Sequences whose fetch had ended, by their order. */
  readonly arrived: readonly number[];
  /** Whether to wait, and whether contents are near, in the order of the questions: 1 for yes. */
  readonly answers: string;
}

/** Tiers whose answers are recorded. */
export class RecordedTiers implements PrefixTiers {
  readonly #tiers: PrefixTiers;
  #arrived: readonly number[] = [];
  #answers: string[] = [];

  constructor(tiers: PrefixTiers) {
    this.#tiers = tiers;
  }

  fetch(sequence: number, wanted: Wanted): boolean {
    return this.#answered(this.#tiers.fetch(sequence, wanted));
  }

  takeArrived(): readonly number[] {
    this.#arrived = this.#tiers.takeArrived();
    return this.#arrived;
  }

  isNear(...content: Parameters<PrefixTiers['isNear']>): boolean {
    return this.#answered(this.#tiers.isNear(...content));
  }

  release(sequence: number): void {
    this.#tiers.release(sequence);
  }

  /** The answers since the last call. */
  take(): TierAnswers {
    const taken = { arrived: this.#arrived, answers: this.#answers.join('') };
    this.#arrived = [];
    this.#answers = [];
    return taken;
  }

  #answered(answer: boolean): boolean {
    this.#answers.push(answer ? '1' : '0');
    return answer;
  }
}

/** Gives recorded answers again. */
export class ReplayedTiers implements PrefixTiers {
  #given: TierAnswers = { arrived: [], answers: '' };
  #next = 0;

  /** @param given what the next `schedule` call is answered; absent: there were no tiers */
  expect(given: TierAnswers = { arrived: [], answers: '' }): void {
    this.#given = given;
    this.#next = 0;
  }

  fetch(): boolean {
    return this.#answer();
  }

  takeArrived(): readonly number[] {
    return this.#given.arrived;
  }

  isNear(): boolean {
    return this.#answer();
  }

  release(): void {
    // There is nothing to give back.
  }

  #answer(): boolean {
    return this.#given.answers[this.#next++] === '1';
  }
}
