/** Where the kernel cuts contexts; assembly/layout.ts has the same numbers: change both. */
const TILE_TOKENS = 128;
const TILES_PER_SPAN = 4;

/**
 * Contexts are cut at fixed multiples, wherever a query, a window or a shared part begins: into
 * tiles, after which a running softmax is updated, and into spans, each with a softmax of its own.
 */
export interface ContextCuts {
  readonly blockSize: number;
  readonly blocksPerTile: number;
  readonly blocksPerSpan: number;
}

export function contextCuts(blockSize: number): ContextCuts {
  const blocksPerTile = Math.max(1, Math.floor(TILE_TOKENS / blockSize));
  return { blockSize, blocksPerTile, blocksPerSpan: TILES_PER_SPAN * blocksPerTile };
}
