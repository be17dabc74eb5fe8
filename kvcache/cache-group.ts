/**
 * What a group of layers keeps of a sequence's past. All layers of a group share its block tables.
 *
 * - `full`: K and V of all tokens.
 * - `sliding-window`: K and V of what a query still sees: itself and the `window - 1` tokens before it.
 */
export type CacheGroup =
  | { readonly kind: 'full' }
  | { readonly kind: 'sliding-window'; readonly window: number };

export const FULL_ATTENTION: CacheGroup = { kind: 'full' };

/**
 * Leading blocks of a table that no token from `numComputed` on reads:
 *
 *     tokens   |<-- expired -->|<-- window - 1 -->| numComputed
 *     blocks   [   ][   ][   ] [   ][   ][   ][   ]
 */
export function numExpiredBlocks(
  group: CacheGroup,
  numComputed: number,
  blockSize: number,
): number {
  if (group.kind === 'full') return 0;
  return Math.floor(Math.max(0, numComputed - group.window + 1) / blockSize);
}

/**
 * Blocks that a sequence holds at one time, at most.
 *
 * @param numTokens its length in the end
 * @param stepTokens of it that one step computes, at most
 */
export function maxHeldBlocks(
  group: CacheGroup,
  numTokens: number,
  stepTokens: number,
  blockSize: number,
): number {
  const all = Math.ceil(numTokens / blockSize);
  if (group.kind === 'full') return all;
  // The window and the step may both begin in the middle of a block.
  return Math.min(all, Math.ceil((group.window - 1 + stepTokens) / blockSize) + 1);
}
