import type { SequenceBlocks } from '../../../kvcache/sequence-blocks.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { SequenceSampler } from '../../sampling/sequence-sampler.js';
import { type ComputedDrafter, type Draft, NO_DRAFT } from '../drafter.js';

export interface DraftSequenceOptions {
  /** Tells plans of the draft model which sequence it is. */
  readonly id: SequenceId;
  readonly promptTokenIds: readonly TokenId[];
  /** At the beginning of the output; owned from now on. */
  readonly sampler: SequenceSampler;
  /** Empty; only the draft model's cache changes it. */
  readonly blocks: SequenceBlocks;
  readonly maxTokens: number;
  /** Maximum length of prompt, output and draft that the draft model takes. */
  readonly maxLength: number;
  /** Tokens of the draft model's embedding. */
  readonly vocabSize: number;
  /** Called once, when it has ended. */
  readonly onEnd: (sequence: DraftSequence) => void;
}

/**
 * A sequence as the draft model sees it: its text, the draft behind it, and how much of both has K
 * and V in the draft model's cache.
 *
 *     tokens   |<---------- known ---------->|<--- drafted --->|
 *     cache    |<-- computed -->|<-- behind -->                      before `compute`
 *     cache    |<---------------- computed ------------->|           after it: all but the last
 *
 * The draft stays as long as the text goes on as it says, so that a draft of which the step took
 * only a part is not computed twice. Where the text departs from it, the rest is dropped, and its
 * slots are written over.
 */
export class DraftSequence implements ComputedDrafter {
  readonly blocks: SequenceBlocks;
  readonly id: SequenceId;
  readonly #options: DraftSequenceOptions;
  readonly #tokens: TokenId[];
  #numKnown: number;
  #numComputed = 0;
  /** The sampler behind the draft; null: the draft is empty. */
  #ahead: SequenceSampler | null = null;
  #hasStopped = false;
  /** Whether it has a token that the draft model does not know: it is never drafted then. */
  #isForeign: boolean;

  constructor(options: DraftSequenceOptions) {
    const { promptTokenIds, vocabSize } = options;
    this.#options = options;
    this.id = options.id;
    this.blocks = options.blocks;
    this.#tokens = [...promptTokenIds];
    this.#numKnown = promptTokenIds.length;
    this.#isForeign = promptTokenIds.some((token) => token >= vocabSize);
  }

  get room(): number {
    const { promptTokenIds, maxTokens, maxLength } = this.#options;
    if (this.#isForeign) return 0;
    // One more token is chosen behind the accepted ones.
    const ofOutput = maxTokens - (this.#numKnown - promptTokenIds.length) - 1;
    return Math.max(0, Math.min(ofOutput, maxLength - this.#numKnown));
  }

  get behind(): number {
    return Math.max(0, this.#numKnown - 1 - this.#numComputed);
  }

  get ready(): number {
    return this.#tokens.length - this.#numKnown;
  }

  /** The text and the draft. */
  get tokens(): readonly TokenId[] {
    return this.#tokens;
  }

  get numKnown(): number {
    return this.#numKnown;
  }

  get numComputed(): number {
    return this.#numComputed;
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
      if (this.#tokens[this.#numKnown] !== token) this.#depart(token);
      this.#numKnown += 1;
      this.#isForeign ||= token >= this.#options.vocabSize;
    }
  }

  draft(most: number): Draft {
    const tokenIds = this.#tokens.slice(this.#numKnown, this.#numKnown + most);
    return tokenIds.length === 0 ? NO_DRAFT : { tokenIds, class: 'computed' };
  }

  end(): void {
    this.#options.sampler.dispose();
    this.#options.onEnd(this);
  }

  /** Appends a token to the draft. */
  push(token: TokenId): void {
    const { next } = this;
    next.accept(token);
    this.#tokens.push(token);
    this.#hasStopped = next.isStop(token);
  }

  /** @param numComputed leading tokens, drafted ones included, that are in the cache from now on */
  computed(numComputed: number): void {
    this.#numComputed = numComputed;
  }

  /** Drops the draft. */
  #cut(): void {
    this.#tokens.length = this.#numKnown;
    this.#ahead = null;
    this.#hasStopped = false;
  }

  #depart(token: TokenId): void {
    this.#cut();
    this.#numComputed = Math.min(this.#numComputed, this.#numKnown);
    this.#tokens.push(token);
  }
}
