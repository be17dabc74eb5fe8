import type { BlockHistory } from '../block-history.js';
import type { BlockId } from '../ids.js';
import { BlockHeap } from './block-heap.js';
import type { EvictionPolicy } from './eviction-policy.js';

/**
 * Least frequently used first, with dynamic aging (LFU-DA, Arlitt et al. 2000): a block's rank is
 * the number of sequences that have used its content, plus the rank of the last block that was
 * evicted. So content that was popular once is evicted in the end, when newer content has been used
 * about as often since.
 */
export class LfuEviction implements EvictionPolicy {
  readonly #history: BlockHistory;
  readonly #heap: BlockHeap;
  /** Rank of the last block that was evicted with its content. */
  #age = 0;

  constructor(numBlocks: number, history: BlockHistory) {
    this.#history = history;
    this.#heap = new BlockHeap(numBlocks);
  }

  get size(): number {
    return this.#heap.size;
  }

  has(block: BlockId): boolean {
    return this.#heap.has(block);
  }

  add(block: BlockId, isCached: boolean): void {
    if (isCached) this.#heap.push(block, this.#age + this.#history.uses(block));
    else this.#heap.pushEmpty(block);
  }

  remove(block: BlockId): void {
    this.#heap.remove(block);
  }

  takeNext(): BlockId {
    const block = this.#heap.popMin();
    this.#age = Math.max(this.#age, this.#heap.rank(block));
    return block;
  }

  [Symbol.iterator](): Iterator<BlockId> {
    return this.#heap[Symbol.iterator]();
  }

  checkIntegrity(): void {
    this.#heap.checkIntegrity();
  }
}
