import type { BlockHistory } from '../block-history.js';
import { type BlockId, NO_BLOCK } from '../ids.js';
import { BlockHeap, WITHOUT_CONTENT } from './block-heap.js';

/**
 * Free blocks by rank, the smallest first, such that no block goes before what follows it in a
 * sequence: without it, what follows would never be found. A block's rank is therefore at least
 * that of each block that became free behind it. Blocks without content go before all others.
 */
export class ChainHeap {
  readonly #history: BlockHistory;
  readonly #heap: BlockHeap;
  /** By block: the largest rank of what became free behind it since it was allocated. */
  readonly #behind: Float64Array;

  constructor(numBlocks: number, history: BlockHistory) {
    this.#history = history;
    this.#heap = new BlockHeap(numBlocks);
    this.#behind = new Float64Array(numBlocks).fill(WITHOUT_CONTENT);
  }

  get size(): number {
    return this.#heap.size;
  }

  has(block: BlockId): boolean {
    return this.#heap.has(block);
  }

  /** With which it came last, what follows it considered; -Infinity: without content. */
  rank(block: BlockId): number {
    return this.#heap.rank(block);
  }

  pushEmpty(block: BlockId): void {
    this.#heap.pushEmpty(block);
  }

  push(block: BlockId, ownRank: number): void {
    const rank = Math.max(ownRank, this.#behind[block]);
    this.#heap.push(block, rank);
    const parent = this.#history.parent(block);
    if (parent !== NO_BLOCK) this.#behind[parent] = Math.max(this.#behind[parent], rank);
  }

  remove(block: BlockId): void {
    this.#heap.remove(block);
  }

  /** The content of the block ends. */
  popMin(): BlockId {
    const block = this.#heap.popMin();
    this.#behind[block] = WITHOUT_CONTENT;
    return block;
  }

  /**
   * Gives each block with content another rank of its own. O(n log n).
   *
   * @param order in which they became free
   */
  rankAgain(ownRank: (block: BlockId) => number, order: (block: BlockId) => number): void {
    const cached = [...this.#heap].filter((block) => this.rank(block) !== WITHOUT_CONTENT);
    cached.sort((a, b) => order(a) - order(b));
    this.#behind.fill(WITHOUT_CONTENT);
    for (const block of cached) this.#heap.remove(block);
    for (const block of cached) this.push(block, ownRank(block));
  }

  [Symbol.iterator](): Iterator<BlockId> {
    return this.#heap[Symbol.iterator]();
  }

  /** @throws Error when order and places disagree. */
  checkIntegrity(): void {
    this.#heap.checkIntegrity();
  }
}
