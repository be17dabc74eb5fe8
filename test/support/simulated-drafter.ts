import { uniform } from '../../engine/sampling/random.js';
import {
  type ComputedDrafter,
  type ComputingDrafter,
  type DraftedSequence,
} from '../../engine/speculation/drafter.js';
import type { StepCosts } from '../../engine/speculation/step-costs.js';
import type { TokenId } from '../../scheduler/ids.js';

/** Every text is this token again and again; a wrong draft says the other. */
export const [RIGHT, WRONG] = [1 as TokenId, 2 as TokenId];

/** Drafts without a model: each token is right at random, and each run takes its time. */
export class SimulatedDrafter implements ComputingDrafter {
  /** Of all runs so far. */
  ms = 0;
  /** Probability that a token is right. */
  rate: number;
  readonly #costs: StepCosts;
  #drawn = 0;

  constructor(rate: number, costs: StepCosts) {
    this.rate = rate;
    this.#costs = costs;
  }

  begin({ promptTokenIds, maxTokens }: DraftedSequence): SimulatedSequence {
    return new SimulatedSequence(promptTokenIds.length, maxTokens);
  }

  compute(lengths: ReadonlyMap<ComputedDrafter, number>): Promise<void> {
    const all = [...lengths] as [SimulatedSequence, number][];
    for (let drafting = all; ; ) {
      drafting = drafting.filter(([sequence, length]) => sequence.ready < length);
      if (drafting.length === 0) return Promise.resolve();
      const rows = drafting.reduce((sum, [{ behind }]) => sum + 1 + behind, 0);
      this.ms += this.#costs.of(rows);
      for (const [sequence] of drafting) {
        sequence.push(uniform(7, this.#drawn++) < this.rate ? RIGHT : WRONG);
      }
    }
  }

  resetCache(): void {}

  checkIntegrity(): void {}
}

class SimulatedSequence implements ComputedDrafter {
  #known: number;
  #computed = 0;
  readonly #end: number;
  #drafted: TokenId[] = [];

  constructor(promptLength: number, maxTokens: number) {
    this.#known = promptLength;
    this.#end = promptLength + maxTokens;
  }

  get room(): number {
    return Math.max(0, this.#end - this.#known - 1);
  }

  get behind(): number {
    return Math.max(0, this.#known - 1 - this.#computed);
  }

  get ready(): number {
    return this.#drafted.length;
  }

  push(token: TokenId): void {
    this.#computed = this.#known + this.#drafted.length;
    this.#drafted.push(token);
  }

  extend(tokenIds: readonly TokenId[]): void {
    for (const token of tokenIds) {
      if (this.#drafted.shift() !== token) this.#drafted = [];
      this.#known += 1;
      if (this.#drafted.length === 0) this.#computed = Math.min(this.#computed, this.#known - 1);
    }
  }

  draft(most: number) {
    return { tokenIds: this.#drafted.slice(0, most), class: 'computed' as const };
  }

  end(): void {}
}
