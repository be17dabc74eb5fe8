import type { BlockId } from './ids.js';

/** Durations of sampled blocks, in milliseconds, since they were last taken. */
export interface ResidencySamples {
  /** From the allocation of cached blocks to their eviction. */
  readonly lifetimes: readonly number[];
  /** From the last use of cached blocks to their eviction. */
  readonly idleBeforeEvict: readonly number[];
  /** Between two uses of the same content. */
  readonly reuseGaps: readonly number[];
}

export interface ResidencyOptions {
  readonly numBlocks: number;
  /** Share of the allocations that are followed, 0 to 1. */
  readonly sampleRate: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** No more of a kind are kept between two `take` calls: they are samples anyway. */
const MAX_PENDING = 256;

/**
 * Follows a sample of the blocks through their lives, to show whether the cache is large enough: short idle times before
 * eviction mean that content goes while it is still wanted. Costs one number for each block.
 */
export class BlockResidency {
  readonly #options: ResidencyOptions;
  /** When a followed block was allocated; NaN for the others. */
  readonly #bornAt: Float64Array;
  readonly #usedAt: Float64Array;
  #lifetimes: number[] = [];
  #idle: number[] = [];
  #gaps: number[] = [];

  constructor(options: ResidencyOptions) {
    this.#options = options;
    this.#bornAt = new Float64Array(options.numBlocks).fill(Number.NaN);
    this.#usedAt = new Float64Array(options.numBlocks);
  }

  /** New content begins; `evicted` says that cached content ends with it. */
  allocated(block: BlockId, evicted: boolean): void {
    const { now, random, sampleRate } = this.#options;
    if (evicted && !Number.isNaN(this.#bornAt[block])) {
      const time = now();
      push(this.#lifetimes, time - this.#bornAt[block]);
      push(this.#idle, time - this.#usedAt[block]);
    }
    if (random() >= sampleRate) {
      this.#bornAt[block] = Number.NaN;
      return;
    }
    this.#bornAt[block] = now();
    this.#usedAt[block] = this.#bornAt[block];
  }

  /** A hit uses the block's content again. */
  reused(block: BlockId): void {
    if (Number.isNaN(this.#bornAt[block])) return;
    const time = this.#options.now();
    push(this.#gaps, time - this.#usedAt[block]);
    this.#usedAt[block] = time;
  }

  /** The last user has left; until it is evicted or hit, the content is idle. */
  released(block: BlockId): void {
    if (!Number.isNaN(this.#bornAt[block])) this.#usedAt[block] = this.#options.now();
  }

  /** All content is forgotten at once: that is nobody's eviction. */
  reset(): void {
    this.#bornAt.fill(Number.NaN);
  }

  /** What has come together since the last call; null when there is nothing. */
  take(): ResidencySamples | null {
    if (this.#lifetimes.length + this.#gaps.length === 0) return null;
    const samples = {
      lifetimes: this.#lifetimes,
      idleBeforeEvict: this.#idle,
      reuseGaps: this.#gaps,
    };
    this.#lifetimes = [];
    this.#idle = [];
    this.#gaps = [];
    return samples;
  }
}

function push(list: number[], value: number): void {
  if (list.length < MAX_PENDING) list.push(value);
}
