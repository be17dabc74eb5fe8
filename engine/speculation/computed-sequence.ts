import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { SequenceSampler } from '../sampling/sequence-sampler.js';
import { type ComputedDrafter, type Draft, NO_DRAFT } from './drafter.js';

export interface ComputedSequenceOptions {
  readonly id: SequenceId;
  readonly promptTokenIds: readonly TokenId[];
  /** At the beginning of the output; owned from now on. */
  readonly sampler: SequenceSampler;
  readonly maxTokens: number;
  /** Maximum length of prompt, output and draft. */
  readonly maxLength: number;
  /** Called once, when it has ended. */
  readonly onEnd: () => void;
}

/**
 * A sequence whose drafts are computed: its text, the draft behind it, and the sampler that goes on
 * behind both.
 *
 *     tokens   |<---------- known ---------->|<--- drafted --->|
 *
 * The draft stays as long as the text goes on as it says. Where the text departs from it, the rest
 * is dropped.
 */
export abstract class ComputedSequence implements ComputedDrafter {
  readonly id: SequenceId;
  readonly #options: ComputedSequenceOptions;
  readonly #tokens: TokenId[];
  #numKnown: number;
  /** The sampler behind the draft; null: the draft is empty. */
  #ahead: SequenceSampler | null = null;
  #hasStopped = false;

  constructor(options: ComputedSequenceOptions) {
    const { id, promptTokenIds } = options;
    this.id = id;
    this.#options = options;
    this.#tokens = [...promptTokenIds];
    this.#numKnown = promptTokenIds.length;
  }

  abstract get behind(): number;

  get room(): number {
    const { promptTokenIds, maxTokens, maxLength } = this.#options;
    // One more token is chosen behind the accepted ones.
    const ofOutput = maxTokens - (this.#numKnown - promptTokenIds.length) - 1;
    return Math.max(0, Math.min(ofOutput, maxLength - this.#numKnown));
  }

  get ready(): number {
    return this.#tokens.length - this.#numKnown;
  }

  /** The text and the draft. */
  get tokens(): readonly TokenId[] {
    return this.#tokens;
  }

  /** Tokens of the text. */
  get numKnown(): number {
    return this.#numKnown;
  }

  /** Whether the draft ends with a token that ends the text. */
  get hasStopped(): boolean {
    return this.#hasStopped;
  }

  /** The sampler of the draft's next token. */
  get next(): SequenceSampler {
    this.#ahead ??= this.#options.sampler.fork();
    return this.#ahead;
  }

  extend(tokenIds: readonly TokenId[]): void {
    for (const token of tokenIds) {
      this.#options.sampler.accept(token);
      if (this.#tokens[this.#numKnown] !== token) {
        this.cut();
        this.#tokens.push(token);
      }
      this.#numKnown += 1;
    }
  }

  draft(most: number): Draft {
    const tokenIds = this.#tokens.slice(this.#numKnown, this.#numKnown + most);
    return tokenIds.length === 0 ? NO_DRAFT : { tokenIds, class: 'computed' };
  }

  end(): void {
    this.#options.sampler.dispose();
    this.#options.onEnd();
  }

  /** Appends a token to the draft. */
  push(token: TokenId): void {
    const { next } = this;
    next.accept(token);
    this.#tokens.push(token);
    this.#hasStopped = next.isStop(token);
  }

  /** Drops the draft. */
  cut(): void {
    this.#tokens.length = this.#numKnown;
    this.#ahead = null;
    this.#hasStopped = false;
  }
}
