import type { TokenId } from '../../scheduler/ids.js';

/** States of a mask. */
export const SLOT = { ready: 0, rejected: 1, deadEnd: 2, lost: 3 } as const;

/** The step number of a final state. */
export const FINAL_STEP = 0x7fffffff;

/** Maximum number of tokens of a forced text in a slot. */
export const MAX_FORCED_TOKENS = 32;

const STEP = 0;
const STATE = 1;
const NUM_FORCED = 2;
const FORCED = 3;
const HEADER_WORDS = FORCED + MAX_FORCED_TOKENS;

/**
 * One matcher's mask, in memory that is shared between the engine's thread and a grammar thread:
 *
 *     word 0   the step whose mask is here; the engine's thread may sleep on it
 *     word 1   state
 *     word 2   number of tokens of the text that must come next, and the tokens behind it
 *     then     the mask, 32 tokens a word
 *
 * The engine's thread numbers its requests to the matcher: the first mask is step 1, and each
 * accepted token and each roll-back adds 1. The grammar thread writes mask and state of a step
 * first, and then its number; it may skip a step when the next one has been requested. While the
 * number is that of the last request, the grammar thread writes nothing.
 */
export class MaskSlot {
  readonly buffer: SharedArrayBuffer;
  readonly #header: Int32Array;
  readonly mask: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#header = new Int32Array(buffer, 0, HEADER_WORDS);
    this.mask = new Int32Array(buffer, HEADER_WORDS * 4);
  }

  static create(vocabSize: number): MaskSlot {
    const words = HEADER_WORDS + Math.ceil(vocabSize / 32);
    return new MaskSlot(new SharedArrayBuffer(words * 4));
  }

  /** The state of the last step that is done. */
  get state(): number {
    return this.#header[STATE];
  }

  /** The tokens that `finish` was told; the caller owns them. */
  get forced(): TokenId[] {
    const count = this.#header[NUM_FORCED];
    return Array.from(this.#header.subarray(FORCED, FORCED + count)) as TokenId[];
  }

  /** @param forced `MAX_FORCED_TOKENS` at most */
  finish(step: number, state: number, forced: readonly TokenId[] = []): void {
    this.#header[STATE] = state;
    this.#header[NUM_FORCED] = forced.length;
    this.#header.set(forced, FORCED);
    Atomics.store(this.#header, STEP, step);
    Atomics.notify(this.#header, STEP);
  }

  /**
   * Sleeps until a step is done, for at most this many milliseconds.
   *
   * @returns whether it is done
   */
  wait(step: number, milliseconds: number): boolean {
    for (;;) {
      const done = Atomics.load(this.#header, STEP);
      if (done >= step) return true;
      if (milliseconds <= 0) return false;
      // An earlier step may wake it, too; there are few, and each makes progress.
      if (Atomics.wait(this.#header, STEP, done, milliseconds) === 'timed-out') {
        return Atomics.load(this.#header, STEP) >= step;
      }
    }
  }
}
