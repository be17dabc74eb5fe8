import type { SequenceBlocks } from '../../../kvcache/sequence-blocks.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { ComputedSequence, type ComputedSequenceOptions } from '../computed-sequence.js';

export interface DraftSequenceOptions extends ComputedSequenceOptions {
  /** Empty; only the draft model's cache changes it. */
  readonly blocks: SequenceBlocks;
  /** Tokens of the draft model's embedding. */
  readonly vocabSize: number;
}

/**
 * A sequence as the draft model sees it: how much of its text and of the draft has K and V in the
 * draft model's cache.
 *
 *     tokens   |<---------- known ---------->|<--- drafted --->|
 *     cache    |<-- computed -->|<-- behind -->                      before `compute`
 *     cache    |<---------------- computed ------------->|           after it: all but the last
 *
 * A draft of which the step took only a part is not computed twice. Where the text departs from it,
 * the slots of the rest are written over.
 */
export class DraftSequence extends ComputedSequence {
  readonly blocks: SequenceBlocks;
  readonly #vocabSize: number;
  #numComputed = 0;
  /** Whether it has a token that the draft model does not know: it is never drafted then. */
  #isForeign: boolean;

  constructor(options: DraftSequenceOptions) {
    super(options);
    const { blocks, promptTokenIds, vocabSize } = options;
    this.blocks = blocks;
    this.#vocabSize = vocabSize;
    this.#isForeign = promptTokenIds.some((token) => token >= vocabSize);
  }

  override get room(): number {
    return this.#isForeign ? 0 : super.room;
  }

  get behind(): number {
    return Math.max(0, this.numKnown - 1 - this.#numComputed);
  }

  get numComputed(): number {
    return this.#numComputed;
  }

  override extend(tokenIds: readonly TokenId[]): void {
    super.extend(tokenIds);
    this.#isForeign ||= tokenIds.some((token) => token >= this.#vocabSize);
  }

  override cut(): void {
    super.cut();
    this.#numComputed = Math.min(this.#numComputed, this.numKnown);
  }

  /** @param numComputed leading tokens, drafted ones included, that are in the cache from now on */
  computed(numComputed: number): void {
    this.#numComputed = numComputed;
  }
}
