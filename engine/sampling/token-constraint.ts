import type { TokenId } from '../../scheduler/ids.js';

/**
 * Constrains the next token of one sequence: the sampler's view of a grammar's state. `mask` is for
 * the tokens accepted so far, without those that were rolled back.
 */
export interface TokenConstraint {
  /**
   * Whether `mask` returns at once. A mask that another thread computes may be late.
   *
   * @param patience milliseconds for which the caller's thread may be blocked; default 0
   */
  isReady(patience?: number): boolean;
  /**
   * Resolves once `isReady`. A mask that never arrives becomes a failure after a timeout, which
   * counts as ready.
   */
  whenReady(): Promise<void>;
  /**
   * `[ceil(vocabSize / 32)]` words; bit `t & 31` of word `t >>> 5` is set when token `t` may come
   * next. Null when any token may. The memory belongs to the constraint and is valid until the next
   * call. At least one bit is set: at its end, a grammar allows the stop tokens. Blocks the thread
   * unless `isReady`.
   */
  mask(): Int32Array | null;
  /**
   * Tokens that are likely to come next, because they spell a text that must; other tokens may
   * spell it, too. Empty where there is a choice, or when it is not known in time.
   *
   * @param patience milliseconds for which the caller's thread may be blocked
   */
  forced(patience: number): readonly TokenId[];
  /**
   * Appends a token that the mask allows. Several tokens may be accepted without reading the masks
   * in between.
   */
  accept(token: TokenId): void;
  /**
   * Takes the last tokens back: the mask is again the one from before them.
   *
   * @throws RangeError when fewer tokens were accepted
   */
  rollback(count: number): void;
  /** Called once, when the sequence has ended for whatever reason. */
  dispose(): void;
}
