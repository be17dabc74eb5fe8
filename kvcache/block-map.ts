import type { BlockPool } from './block-pool.js';
import type { BlockId } from './ids.js';

/** What a block is to somebody who looks at the whole pool; the index is its number in a map. */
export const BLOCK_STATES = ['free', 'cached', 'used', 'shared'] as const;

const FREE = 0;
const CACHED = 1;
const USED = 2;
const SHARED = 3;

const NONE = -1;

/** All blocks at one moment, in columns: entry `i` is block `i`. The receiver owns the memory. */
export interface BlockMap {
  /** Indexes of `BLOCK_STATES`. */
  readonly states: Uint8Array;
  /** Place in its sequence, 0 for the first tokens; -1 for free blocks. */
  readonly positions: Int32Array;
  /** The block before it in its sequence when it was allocated; -1 for first and free blocks. */
  readonly parents: Int32Array;
  /** When it was allocated, whole milliseconds on the clock of `BlockBirths`; 0 for free blocks. */
  readonly bornAt: Float64Array;
}

/**
 * Remembers of each block when, for which place, and after which other block it was allocated. This outlives the sequence, as cached
 * content does. Three numbers for each allocation, whether somebody looks or not: a map of the past cannot be drawn later.
 */
export class BlockBirths {
  readonly #now: () => number;
  readonly #positions: Int32Array;
  readonly #parents: Int32Array;
  readonly #bornAt: Float64Array;

  /** @param now monotonic, milliseconds */
  constructor(numBlocks: number, now: () => number) {
    this.#now = now;
    this.#positions = new Int32Array(numBlocks);
    this.#parents = new Int32Array(numBlocks);
    this.#bornAt = new Float64Array(numBlocks);
  }

  /** @param before the sequence's blocks that precede it */
  allocated(block: BlockId, before: readonly BlockId[], position: number): void {
    this.#positions[block] = position;
    this.#parents[block] = position === 0 ? NONE : before[position - 1];
    this.#bornAt[block] = Math.round(this.#now());
  }

  map(pool: BlockPool): BlockMap {
    const states = new Uint8Array(pool.numBlocks);
    const positions = this.#positions.slice();
    const parents = this.#parents.slice();
    const bornAt = this.#bornAt.slice();
    for (let id = 0; id < pool.numBlocks; id++) {
      const state = stateOf(pool, id as BlockId);
      states[id] = state;
      if (state !== FREE) continue;
      positions[id] = NONE;
      parents[id] = NONE;
      bornAt[id] = 0;
    }
    return { states, positions, parents, bornAt };
  }
}

function stateOf(pool: BlockPool, block: BlockId): number {
  const users = pool.refCount(block);
  if (users > 0) return users > 1 ? SHARED : USED;
  return pool.hashOf(block) === null ? FREE : CACHED;
}
