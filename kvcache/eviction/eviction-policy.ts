import type { BlockId } from '../ids.js';
import type { SequenceBlocks } from '../sequence-blocks.js';

/**
 * Orders the free blocks: which of them is reused next, and with it which cached content is lost first. A policy
 * decides nothing else; counts, hashes and the pages themselves are the pool's and the attention's.
 *
 * Every free block is in the policy, with its content or without. Each call costs O(log n) or less: they are made for
 * every block that a sequence takes or gives back. What a policy wants to know of a block beyond `isCached` (its place
 * in its sequence, its age, how often it was hit) it asks of the `BlockHistory` that it was made with.
 */
export interface EvictionPolicy {
  /** Free blocks. */
  readonly size: number;
  has(block: BlockId): boolean;
  /**
   * A sequence is about to give back all its blocks; those that no other one uses become free right afterwards, last first.
   * Absent: the policy does not care whose they are.
   *
   * @param returns it will ask for them again: it was preempted
   */
  releasing?(sequence: SequenceBlocks, returns: boolean): void;
  /**
   * A block has become free.
   *
   * @param isCached whether a lookup can still find its content
   */
  add(block: BlockId, isCached: boolean): void;
  /** A hit takes a block back, content and all. @throws Error when it is not free */
  remove(block: BlockId): void;
  /** Takes out the block that is reused next. @throws Error when none is free */
  takeNext(): BlockId;
  /** In the order of reuse, for tests and maps. The policy must not change meanwhile. */
  [Symbol.iterator](): Iterator<BlockId>;
  /** @throws Error that names the first contradiction. */
  checkIntegrity(): void;
}
