import type { BlockId } from '../ids.js';
import { BlockList } from './block-list.js';
import type { EvictionPolicy } from './eviction-policy.js';

/**
 * Least recently used first, as in vLLM. Blocks without content are reused before all others. A
 * sequence releases its last block first, so the tail of a chain is reused before its head.
 */
export class LruEviction implements EvictionPolicy {
  /** Head: reused next. */
  readonly #list: BlockList;

  constructor(numBlocks: number) {
    this.#list = new BlockList(numBlocks);
  }

  get size(): number {
    return this.#list.size;
  }

  has(block: BlockId): boolean {
    return this.#list.has(block);
  }

  add(block: BlockId, isCached: boolean): void {
    if (isCached) this.#list.pushTail(block);
    else this.#list.pushHead(block);
  }

  remove(block: BlockId): void {
    this.#list.remove(block);
  }

  takeNext(): BlockId {
    return this.#list.popHead();
  }

  [Symbol.iterator](): Iterator<BlockId> {
    return this.#list[Symbol.iterator]();
  }

  checkIntegrity(): void {
    this.#list.checkIntegrity();
  }
}
