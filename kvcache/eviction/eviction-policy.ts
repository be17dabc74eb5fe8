import type { BlockId } from '../ids.js';
import type { SequenceBlocks } from '../sequence-blocks.js';

/**
 * Orders the free blocks: decides which is reused next, and so which cached content is lost first.
 * A policy decides nothing else; counts and hashes belong to the pool, pages to the attention.
 *
 * Every free block is in the policy, with or without content. Each call costs at most O(log n),
 * because it is made for every block that a sequence takes or releases. More about a block than
 * `isCached` (its place in its sequence, its age, its hits) is in the `BlockHistory` that a policy
 * is created with.
 */
export interface EvictionPolicy {
  /** Number of free blocks. */
  readonly size: number;
  has(block: BlockId): boolean;
  /**
   * A sequence is about to give back all its blocks; those that no other one uses become free right
   * afterwards, last first. Absent: the policy does not care whose they are.
   *
   * @param returns it will ask for them again: it was preempted
   */
  releasing?(sequence: SequenceBlocks, returns: boolean): void;
  /**
   * Adds a block that has become free.
   *
   * @param isCached whether a lookup can still find its content
   */
  add(block: BlockId, isCached: boolean): void;
  /** Removes a block that a hit takes back with its content. @throws Error when it is not free */
  remove(block: BlockId): void;
  /** Removes and returns the block that is reused next. @throws Error when none is free */
  takeNext(): BlockId;
  /** Iterates in the order of reuse, for tests and maps. The policy must not change meanwhile. */
  [Symbol.iterator](): Iterator<BlockId>;
  /** @throws Error that names the first contradiction. */
  checkIntegrity(): void;
}
