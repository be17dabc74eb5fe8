import type { AttentionBatch } from '../paged-attention.js';

/**
 * Rows (queries times heads of a group) of a task: enough to reuse each loaded block, few enough
 * for the CPU's cache.
 */
const ROWS_PER_TILE = 48;

export const WORDS_PER_TILE = 3;

/** Maximum number of rows of a task: a tile holds at least one query, however large the group. */
export function maxRows(group: number): number {
  return Math.max(group, Math.floor(ROWS_PER_TILE / group) * group);
}

/**
 * Splits a batch into tiles of queries, `[sequence, first query, number of queries]`. The most
 * expensive tiles come first, so that no thread has a long one left at the end. The split depends
 * on the batch alone, never on the threads.
 */
export function queryTiles(batch: AttentionBatch, group: number): Int32Array {
  const perTile = Math.max(1, Math.floor(ROWS_PER_TILE / group));
  const tiles: { sequence: number; first: number; count: number; cost: number }[] = [];
  for (let sequence = 0; sequence < batch.numSequences; sequence++) {
    const length = batch.queryStarts[sequence + 1] - batch.queryStarts[sequence];
    const past = batch.contextLengths[sequence] - length;
    for (let first = 0; first < length; first += perTile) {
      const count = Math.min(perTile, length - first);
      tiles.push({ sequence, first, count, cost: count * (past + first + count) });
    }
  }
  tiles.sort((a, b) => b.cost - a.cost || a.sequence - b.sequence || a.first - b.first);
  return Int32Array.from(tiles.flatMap(({ sequence, first, count }) => [sequence, first, count]));
}
