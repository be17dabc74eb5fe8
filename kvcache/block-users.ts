import type { BlockPool } from './block-pool.js';
import { type CacheGroup, isWritten } from './cache-group.js';
import { type BlockId, NO_BLOCK } from './ids.js';
import type { PinnedPrefixes } from './pinned-prefixes.js';
import type { SequenceBlocks } from './sequence-blocks.js';

export interface BlockUsers {
  readonly pool: BlockPool;
  readonly pins: PinnedPrefixes;
  readonly groups: readonly CacheGroup[];
  /** Tokens per block. */
  readonly blockSize: number;
}

/**
 * Counts who holds each block, and compares that with the pool's counts.
 *
 * @param sequences the blocks of every live sequence
 * @throws Error when a table has a block where none may be, or lacks one, or when a count is not
 *   the number of tables and pins that have the block
 */
export function checkUsers(
  { pool, pins, groups, blockSize }: BlockUsers,
  sequences: Iterable<SequenceBlocks>,
): void {
  const users = pins.users();
  for (const { tables, numExpired, numKnown } of sequences) {
    for (const [g, table] of tables.entries()) {
      for (const [index, block] of table.entries()) {
        const isExpired = index < numExpired[g];
        const mayLack = isExpired || !isWritten(groups[g], index, numKnown, blockSize);
        if (block === NO_BLOCK ? !mayLack : isExpired) {
          throw new Error(`table ${g} has block ${block} at ${index}, ${numExpired[g]} expired`);
        }
        if (block !== NO_BLOCK) users.set(block, (users.get(block) ?? 0) + 1);
      }
    }
  }
  for (let id = 0; id < pool.numBlocks; id++) {
    const block = id as BlockId;
    const expected = users.get(block) ?? 0;
    const actual = pool.refCount(block);
    if (actual !== expected) {
      throw new Error(`block ${block} is in ${expected} tables, its count is ${actual}`);
    }
  }
}
