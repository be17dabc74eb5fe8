import type { BlockHistory } from '../block-history.js';
import type { BlockHash, BlockId } from '../ids.js';
import type { SequenceBlocks } from '../sequence-blocks.js';
import { ChainHeap } from './chain-heap.js';
import type { EvictionPolicy } from './eviction-policy.js';
import { ShadowTuner } from './shadow-cache.js';

/** Says for the blocks of a sequence that gives them back whether they will come back. */
export interface ReusePredictor {
  /**
   * @param returns the sequence itself will go on: it was preempted
   * @returns `[index]`: 1 when the content of its block `index` will be asked for again, 0 when it
   *   is safe to discard; one for each committed block
   */
  predict(sequence: SequenceBlocks, returns: boolean): Uint8Array;
}

/** Settings of the tuner: as LRU, or by bits. */
const [IGNORES_BITS, FOLLOWS_BITS, NUM_SETTINGS] = [0, 1, 2];

/**
 * Eviction by one predicted bit for each block that becomes free (Antoniadis et al. 2023, Paging
 * with Succinct Predictions): what is safe to discard goes before all that will come back. Of the
 * former, what became free last goes first, so that a scan takes its own places and what is older
 * waits for the chance that its bit was wrong; of the latter, the least recently used.
 *
 * Phases bound the damage of wrong bits, as in marking algorithms. A phase ends when as many
 * contents were given up as the pool has blocks. Content that was given up by its bit and is there
 * again in the same phase was predicted wrongly: for the rest of this phase and the next one, its
 * bits are not believed.
 *
 * That bounds what single wrong bits cost, not what all of them do. So the bits are followed only
 * while they save more than LRU: two shadow caches (`ShadowTuner`) see the same uses, one by bits
 * and one without. A predictor that is wrong costs one period of the tuner, as many uses as the
 * pool has blocks, and is LRU from then on, until its bits have become better.
 */
export class PredictedEviction implements EvictionPolicy {
  readonly #history: BlockHistory;
  readonly #predictor: ReusePredictor;
  readonly #phaseLength: number;
  /** Ranks: the time of the last release, negative for what is safe to discard. */
  readonly #free: ChainHeap;
  readonly #tuner: ShadowTuner;
  /** By block: the last bit. */
  readonly #bits: Uint8Array;
  /** By block: when it became free, and whether its content is kept. */
  readonly #times: Float64Array;
  readonly #kept: Uint8Array;
  /** Sequences that were released; ranks of discarded ones are less than 0. */
  #time = 0;
  #givenUp = 0;
  /** Contents that were given up by their bit in this phase. */
  #discarded = new Set<BlockHash>();
  /** Contents whose bit was wrong: in this phase, and in the last one. */
  #mistaken = new Set<BlockHash>();
  #mistakenBefore = new Set<BlockHash>();

  constructor(numBlocks: number, history: BlockHistory, predictor: ReusePredictor) {
    this.#history = history;
    this.#predictor = predictor;
    this.#phaseLength = numBlocks;
    this.#free = new ChainHeap(numBlocks, history);
    this.#tuner = new ShadowTuner(numBlocks, NUM_SETTINGS, FOLLOWS_BITS);
    this.#bits = new Uint8Array(numBlocks).fill(1);
    this.#times = new Float64Array(numBlocks);
    this.#kept = new Uint8Array(numBlocks);
  }

  get size(): number {
    return this.#free.size;
  }

  has(block: BlockId): boolean {
    return this.#free.has(block);
  }

  releasing(sequence: SequenceBlocks, returns: boolean): void {
    this.#time += 1;
    const bits = this.#predictor.predict(sequence, returns);
    for (const table of sequence.tables) {
      for (const [index, bit] of bits.entries()) {
        const block = table[index];
        if (block >= 0) this.#bits[block] = bit;
      }
    }
  }

  add(block: BlockId, isCached: boolean): void {
    const content = isCached ? this.#history.content(block) : null;
    if (content === null) {
      this.#free.pushEmpty(block);
      return;
    }
    this.#times[block] = this.#time;
    this.#kept[block] = Number(this.#isKept(block, content));
    const rankOf = (setting: number): number => this.#rank(block, setting);
    this.#free.push(block, rankOf(this.#tuner.chosen));
    if (!this.#tuner.access(content, rankOf, 1)) return;
    const { chosen } = this.#tuner;
    this.#free.rankAgain(
      (free) => this.#rank(free, chosen),
      (free) => this.#times[free],
    );
  }

  remove(block: BlockId): void {
    this.#free.remove(block);
  }

  takeNext(): BlockId {
    const block = this.#free.popMin();
    const content = this.#history.content(block);
    if (content === null) return block;
    if (this.#free.rank(block) < 0) this.#discarded.add(content);
    if (++this.#givenUp >= this.#phaseLength) this.#endPhase();
    return block;
  }

  [Symbol.iterator](): Iterator<BlockId> {
    return this.#free[Symbol.iterator]();
  }

  checkIntegrity(): void {
    this.#free.checkIntegrity();
  }

  #rank(block: BlockId, setting: number): number {
    const isKept = setting === IGNORES_BITS || this.#kept[block] === 1;
    return isKept ? this.#times[block] : -this.#times[block];
  }

  #isKept(block: BlockId, content: BlockHash): boolean {
    if (this.#discarded.delete(content)) this.#mistaken.add(content);
    if (this.#bits[block] === 1) return true;
    return this.#mistaken.has(content) || this.#mistakenBefore.has(content);
  }

  #endPhase(): void {
    this.#givenUp = 0;
    this.#discarded = new Set();
    this.#mistakenBefore = this.#mistaken;
    this.#mistaken = new Set();
  }
}
