import type { BlockHistory } from '../block-history.js';
import type { BlockId } from '../ids.js';
import { ChainHeap } from './chain-heap.js';
import type { EvictionPolicy } from './eviction-policy.js';
import { FrequencySketch } from './frequency-sketch.js';
import { ShadowTuner } from './shadow-cache.js';

/** Turns of the pool that one use more is worth, of a block that costs 1; 0 is LRU. */
const WEIGHTS = [0, 0.25, 1, 4, 16];
const FIRST_WEIGHT = 2;

/**
 * Recency plus weight times computation saved per byte, after Marconi (Pan et al. 2024). All blocks
 * have the same size, so what counts is what it costs to compute a block again, and how often that
 * was asked for of late: a block's rank is
 *
 *     the time of its last use + weight x pool size x (uses of late - 1) x cost of its tokens
 *
 * with time counted in blocks given back. So content that saved much survives a flood of content
 * that saved nothing, for a time that the weight decides; the weight is tuned on the server's own
 * trace (`ShadowTuner`).
 */
export class CostAwareEviction implements EvictionPolicy {
  readonly #history: BlockHistory;
  readonly #free: ChainHeap;
  readonly #sketch: FrequencySketch;
  readonly #tuner: ShadowTuner;
  readonly #numBlocks: number;
  readonly #costOf: (position: number) => number;
  /** By block: time and value of its last use. */
  readonly #times: Float64Array;
  readonly #values: Float64Array;
  #time = 0;

  /** @param costOf computing the block at that position of a sequence, in units of the first one */
  constructor(numBlocks: number, history: BlockHistory, costOf: (position: number) => number) {
    this.#history = history;
    this.#free = new ChainHeap(numBlocks, history);
    this.#sketch = new FrequencySketch(numBlocks);
    this.#tuner = new ShadowTuner(numBlocks, WEIGHTS.length, FIRST_WEIGHT);
    this.#numBlocks = numBlocks;
    this.#costOf = costOf;
    this.#times = new Float64Array(numBlocks);
    this.#values = new Float64Array(numBlocks);
  }

  get size(): number {
    return this.#free.size;
  }

  /** Of what a block has saved, as it is tuned now. */
  get weight(): number {
    return WEIGHTS[this.#tuner.chosen];
  }

  has(block: BlockId): boolean {
    return this.#free.has(block);
  }

  add(block: BlockId, isCached: boolean): void {
    const content = isCached ? this.#history.content(block) : null;
    if (content === null) {
      this.#free.pushEmpty(block);
      return;
    }
    const time = ++this.#time;
    const cost = this.#costOf(this.#history.position(block));
    const value = (this.#sketch.add(content) - 1) * cost;
    const rankOf = (weight: number): number => this.#rank(weight, time, value);
    this.#free.push(block, rankOf(this.#tuner.chosen));
    this.#times[block] = time;
    this.#values[block] = value;
    if (!this.#tuner.access(content, rankOf, cost)) return;
    const { chosen } = this.#tuner;
    this.#free.rankAgain(
      (free) => this.#rank(chosen, this.#times[free], this.#values[free]),
      (free) => this.#times[free],
    );
  }

  remove(block: BlockId): void {
    this.#free.remove(block);
  }

  takeNext(): BlockId {
    return this.#free.popMin();
  }

  [Symbol.iterator](): Iterator<BlockId> {
    return this.#free[Symbol.iterator]();
  }

  checkIntegrity(): void {
    this.#free.checkIntegrity();
  }

  /** @param weight index in `WEIGHTS` */
  #rank(weight: number, time: number, value: number): number {
    return time + WEIGHTS[weight] * this.#numBlocks * value;
  }
}
