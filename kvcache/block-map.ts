import type { BlockHistory } from './block-history.js';
import type { BlockPool } from './block-pool.js';
import { type BlockId, NO_BLOCK } from './ids.js';

/** States of a block; a map stores their indexes. */
export const BLOCK_STATES = ['free', 'cached', 'used', 'shared'] as const;

const FREE = 0;
const CACHED = 1;
const USED = 2;
const SHARED = 3;

/** All blocks at one moment, in columns: entry `i` is block `i`. The receiver owns the memory. */
export interface BlockMap {
  /** Indexes of `BLOCK_STATES`. */
  readonly states: Uint8Array;
  /** Index in its sequence's table, 0 for the first tokens; -1 for free blocks. */
  readonly positions: Int32Array;
  /** The block before it in its sequence when it was allocated; -1 for first and free blocks. */
  readonly parents: Int32Array;
  /** When it was allocated, whole milliseconds on the history's clock; 0 for free blocks. */
  readonly allocatedAt: Float64Array;
}

export function blockMap(pool: BlockPool, history: BlockHistory): BlockMap {
  const { numBlocks } = pool;
  const states = new Uint8Array(numBlocks);
  const positions = new Int32Array(numBlocks).fill(NO_BLOCK);
  const parents = new Int32Array(numBlocks).fill(NO_BLOCK);
  const allocatedAt = new Float64Array(numBlocks);
  for (let id = 0; id < numBlocks; id++) {
    const block = id as BlockId;
    states[id] = stateOf(pool, block);
    if (states[id] === FREE) continue;
    positions[id] = history.position(block);
    parents[id] = history.parent(block);
    allocatedAt[id] = Math.round(history.allocatedAt(block));
  }
  return { states, positions, parents, allocatedAt };
}

function stateOf(pool: BlockPool, block: BlockId): number {
  const users = pool.refCount(block);
  if (users > 0) return users > 1 ? SHARED : USED;
  return pool.hashOf(block) === null ? FREE : CACHED;
}
