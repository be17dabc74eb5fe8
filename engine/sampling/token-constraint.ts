import type { TokenId } from '../../scheduler/ids.js';

/**
 * Says which tokens may come next in one completion: a grammar's state, seen by the sampler. `mask`
 * belongs to the tokens accepted so far, less those that were rolled back.
 */
export interface TokenConstraint {
  /**
   * Whether `mask` answers at once. A mask that another thread computes may be late.
   *
   * @param patience milliseconds that the caller's thread may be blocked for; absent: not at all
   */
  isReady(patience?: number): boolean;
  /**
   * Resolves once `isReady`; a mask that never comes becomes a failure in the end, and is then
   * ready.
   */
  whenReady(): Promise<void>;
  /**
   * `[ceil(vocabSize / 32)]` words; bit `t & 31` of word `t >>> 5` is set when token `t` may come
   * next. Null: any may. The constraint's memory, valid until the next call. At least one bit is
   * set: at its end a grammar allows the stop tokens. Blocks the thread unless `isReady`.
   */
  mask(): Int32Array | null;
  /**
   * The completion goes on with a token that the mask allowed. Several may follow one another
   * without a look at the masks between them.
   */
  accept(token: TokenId): void;
  /**
   * Takes the last tokens back: the mask is again the one that stood before them.
   *
   * @throws RangeError when fewer were accepted
   */
  rollback(count: number): void;
  /** Called once, when the completion has ended, whatever ended it. */
  dispose(): void;
}
