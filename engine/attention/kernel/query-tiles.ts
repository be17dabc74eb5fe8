import type { AttentionBatch } from '../paged-attention.js';

/**
 * Rows (queries times heads of a group) of a task: enough to reuse each loaded block, few enough
 * for the CPU's cache.
 */
export const ROWS_PER_TASK = 48;

/** Queries of one sequence, and the blocks of its context that they read. */
export interface QueryTile {
  readonly sequence: number;
  /** Its first query, counted from the sequence's first one in the step. */
  readonly first: number;
  readonly count: number;
  /** Queries times heads of a group. */
  readonly rows: number;
  readonly firstBlock: number;
  /** Blocks up to the last one that is read. */
  readonly numBlocks: number;
  /** Whether the sequence has no other queries in the step. */
  readonly isWhole: boolean;
}

/** Maximum number of rows of a task: a tile holds at least one query, however large the group. */
export function maxRows(group: number): number {
  return Math.max(group, Math.floor(ROWS_PER_TASK / group) * group);
}

/**
 * Splits a batch into tiles of queries.
 *
 * @param group query heads of a KV head
 * @param window the layer's sliding window; 0: none
 */
export function queryTiles(
  batch: AttentionBatch,
  group: number,
  window: number,
  blockSize: number,
): QueryTile[] {
  const perTile = Math.max(1, Math.floor(ROWS_PER_TASK / group));
  const tiles: QueryTile[] = [];
  for (let sequence = 0; sequence < batch.numSequences; sequence++) {
    const start = batch.queryStarts[sequence];
    const length = batch.queryStarts[sequence + 1] - start;
    const past = batch.contextLengths[sequence] - length;
    for (let first = 0; first < length; first += perTile) {
      const count = Math.min(perTile, length - first);
      let last = past + first + count - 1;
      if (batch.lastSeen) {
        for (let i = 0; i < count; i++) last = Math.max(last, batch.lastSeen[start + first + i]);
      }
      const firstToken = window > 0 ? Math.max(0, past + first - window + 1) : 0;
      tiles.push({
        sequence,
        first,
        count,
        rows: count * group,
        firstBlock: Math.floor(firstToken / blockSize),
        numBlocks: Math.floor(last / blockSize) + 1,
        isWhole: count === length,
      });
    }
  }
  return tiles;
}
