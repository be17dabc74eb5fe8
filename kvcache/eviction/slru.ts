import type { BlockHistory } from '../block-history.js';
import type { BlockId } from '../ids.js';
import { BlockList } from './block-list.js';
import type { EvictionPolicy } from './eviction-policy.js';

/** Fraction of the pool for content that has been used more than once. */
const PROTECTED_SHARE = 0.8;

/**
 * Segmented LRU (Karedla et al. 1994): content that only one sequence has used is on probation, and
 * is evicted before all content that was used again. So a flood of prompts that never return evicts
 * only its own kind. Content that was used again fills a bounded fraction of the pool; beyond it,
 * its least recently used blocks return to probation.
 */
export class SegmentedLruEviction implements EvictionPolicy {
  readonly #history: BlockHistory;
  /** Heads: reused next. */
  readonly #probation: BlockList;
  readonly #protected: BlockList;
  readonly #mostProtected: number;

  constructor(numBlocks: number, history: BlockHistory) {
    this.#history = history;
    this.#probation = new BlockList(numBlocks);
    this.#protected = new BlockList(numBlocks);
    this.#mostProtected = Math.floor(numBlocks * PROTECTED_SHARE);
  }

  get size(): number {
    return this.#probation.size + this.#protected.size;
  }

  has(block: BlockId): boolean {
    return this.#probation.has(block) || this.#protected.has(block);
  }

  add(block: BlockId, isCached: boolean): void {
    if (this.has(block)) throw new Error(`block ${block} is free already`);
    if (!isCached) this.#probation.pushHead(block);
    else if (this.#history.uses(block) === 1) this.#probation.pushTail(block);
    else this.#protect(block);
  }

  remove(block: BlockId): void {
    this.#segmentOf(block).remove(block);
  }

  takeNext(): BlockId {
    return (this.#probation.size > 0 ? this.#probation : this.#protected).popHead();
  }

  *[Symbol.iterator](): Generator<BlockId> {
    yield* this.#probation;
    yield* this.#protected;
  }

  checkIntegrity(): void {
    this.#probation.checkIntegrity();
    this.#protected.checkIntegrity();
    if (this.#protected.size > this.#mostProtected) throw new Error('too much is protected');
    for (const block of this.#protected) {
      if (this.#probation.has(block)) throw new Error(`block ${block} is in both segments`);
    }
  }

  #protect(block: BlockId): void {
    this.#protected.pushTail(block);
    while (this.#protected.size > this.#mostProtected) {
      this.#probation.pushTail(this.#protected.popHead());
    }
  }

  #segmentOf(block: BlockId): BlockList {
    return this.#protected.has(block) ? this.#protected : this.#probation;
  }
}
