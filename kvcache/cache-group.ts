/**
 * Which keys and values of a sequence a group of layers keeps. All layers of a group share its
 * block tables.
 *
 * - `full`: K and V of all tokens.
 * - `sliding-window`: K and V in the window of a query: itself and the `window - 1` tokens before
 *   it.
 * - `recurrent`: one state that stands for all tokens so far (Mamba, Gu and Dao 2023; gated
 *   DeltaNet, Yang et al. 2025). A block of such a group holds one state, or a piece of it where
 *   several groups share it. A sequence needs its last state only. While it computes a
 *   prompt, it leaves a state behind, a checkpoint, at the end of every `checkpointBlocks`-th block
 *   and of the last full block of each step: a cached prefix ends where there is one. Of those
 *   between generated tokens, the newest stays, and every `checkpointBlocks`-th.
 */
export type CacheGroup =
  | { readonly kind: 'full' }
  | { readonly kind: 'sliding-window'; readonly window: number }
  | { readonly kind: 'recurrent'; readonly checkpointBlocks: number };

export const FULL_ATTENTION: CacheGroup = { kind: 'full' };

/**
 * Leading blocks of a table that no token from `numComputed` on reads:
 *
 *     tokens      |<-- expired -->|<-- window - 1 -->| numComputed
 *     window      [   ][   ][   ] [   ][   ][   ][   ]
 *     recurrent   [   ][   ][   ] [   ][   ][   ][ * ]    *: the state, all others are expired
 */
export function numExpiredBlocks(
  group: CacheGroup,
  numComputed: number,
  blockSize: number,
): number {
  if (group.kind === 'full') return 0;
  if (group.kind === 'recurrent') return Math.max(0, Math.ceil(numComputed / blockSize) - 1);
  return Math.floor(Math.max(0, numComputed - group.window + 1) / blockSize);
}

/**
 * Whether a step writes into block `index`: a recurrent state only where a checkpoint is wanted,
 * and at the end. Wanted are those behind the last full block of what a step computes, because a
 * prompt may come again with another end, and further ones at some distance, because it may come
 * again in part (Marconi, Pan et al. 2024: last tokens, and possible branch points).
 *
 * @param numTokens that are computed when the step has ended
 */
export function isWritten(
  group: CacheGroup,
  index: number,
  numTokens: number,
  blockSize: number,
): boolean {
  if (group.kind !== 'recurrent') return true;
  const isLast = index === Math.ceil(numTokens / blockSize) - 1;
  const isLastFull = index === Math.floor(numTokens / blockSize) - 1;
  return isLast || isLastFull || (index + 1) % group.checkpointBlocks === 0;
}

/**
 * Maximum number of blocks that a sequence holds at one time.
 *
 * @param numTokens its final length
 * @param stepTokens maximum number of its tokens in one step
 */
export function maxHeldBlocks(
  group: CacheGroup,
  numTokens: number,
  stepTokens: number,
  blockSize: number,
): number {
  const all = Math.ceil(numTokens / blockSize);
  if (group.kind === 'full') return all;
  const stepBlocks = Math.ceil(stepTokens / blockSize);
  if (group.kind === 'recurrent') {
    // The states that the step begins and ends with, and the checkpoints between them: that of the
    // last full block, and those at some distance before it.
    const between = stepBlocks > 1 ? 1 + Math.ceil((stepBlocks - 2) / group.checkpointBlocks) : 0;
    return Math.min(all, 2 + between);
  }
  // Window and step may both begin in the middle of a block.
  return Math.min(all, Math.ceil((group.window - 1 + stepTokens) / blockSize) + 1);
}
