import type { TokenId } from '../../scheduler/ids.js';

/**
 * Says which tokens may come next in one completion: a grammar's state, seen by the sampler. Calls alternate: `mask`, then
 * `accept` with the token that was chosen under it.
 */
export interface TokenConstraint {
  /**
   * `[ceil(vocabSize / 32)]` words; bit `t & 31` of word `t >>> 5` is set when token `t` may come next. Null: any may. The constraint's
   * memory, valid until the next call. At least one bit is set: at its end a grammar allows the stop tokens.
   */
  mask(): Int32Array | null;
  accept(token: TokenId): void;
  /** Called once, when the completion has ended, whatever ended it. */
  dispose(): void;
}
