import type { BlockHistory } from '../../kvcache/block-history.js';
import { BlockHeap } from '../../kvcache/eviction/block-heap.js';
import type { EvictionPolicy } from '../../kvcache/eviction/eviction-policy.js';
import type { BlockHash, BlockId } from '../../kvcache/ids.js';
import type { Clock } from './replay.js';
import type { Trace } from './trace.js';

/** When each content is asked for: indexes of requests, rising. */
export function usesOf(trace: Trace): Map<BlockHash, number[]> {
  const uses = new Map<BlockHash, number[]>();
  for (const [index, { hashes }] of trace.requests.entries()) {
    for (const content of hashes) {
      const list = uses.get(content);
      if (list) list.push(index);
      else uses.set(content, [index]);
    }
  }
  return uses;
}

/** The first request from `from` on that asks for the content; infinite: none does. */
export function nextUse(uses: readonly number[], from: number): number {
  let low = 0;
  let high = uses.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (uses[middle] < from) low = middle + 1;
    else high = middle;
  }
  return uses[low] ?? Number.POSITIVE_INFINITY;
}

/**
 * The optimum of the hit rate (Belady 1966): evicts the block that is needed last. A request for a
 * block needs all blocks before it, so blocks after it are never needed earlier, and are evicted
 * first: the optimum keeps prefixes intact.
 */
export class BeladyEviction implements EvictionPolicy {
  readonly #history: BlockHistory;
  readonly #uses: ReadonlyMap<BlockHash, readonly number[]>;
  readonly #clock: Clock;
  readonly #heap: BlockHeap;

  constructor(
    numBlocks: number,
    history: BlockHistory,
    uses: ReadonlyMap<BlockHash, readonly number[]>,
    clock: Clock,
  ) {
    this.#history = history;
    this.#uses = uses;
    this.#clock = clock;
    this.#heap = new BlockHeap(numBlocks);
  }

  get size(): number {
    return this.#heap.size;
  }

  has(block: BlockId): boolean {
    return this.#heap.has(block);
  }

  add(block: BlockId, isCached: boolean): void {
    const content = isCached ? this.#history.content(block) : null;
    const next = content && nextUse(this.#uses.get(content) ?? [], this.#clock.next);
    this.#heap.push(block, next === null ? Number.NEGATIVE_INFINITY : -Math.min(next, 1e9));
  }

  remove(block: BlockId): void {
    this.#heap.remove(block);
  }

  takeNext(): BlockId {
    return this.#heap.popMin();
  }

  [Symbol.iterator](): Iterator<BlockId> {
    return this.#heap[Symbol.iterator]();
  }

  checkIntegrity(): void {
    this.#heap.checkIntegrity();
  }
}
