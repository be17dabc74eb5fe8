import { type BlockHash, type BlockId, NO_BLOCK } from './ids.js';

/** Durations of sampled blocks, in milliseconds, since they were last taken. */
export interface ResidencySamples {
  /** From the allocation of cached blocks to their eviction. */
  readonly lifetimes: readonly number[];
  /** From the last use of cached blocks to their eviction. */
  readonly idleBeforeEvict: readonly number[];
  /** Between two uses of the same content. */
  readonly reuseGaps: readonly number[];
}

export interface BlockHistoryOptions {
  readonly numBlocks: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Share of the allocations whose durations are sampled, 0 to 1. */
  readonly sampleRate: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What a block was allocated for. */
export interface BlockPlace {
  readonly group: number;
  /** Index in its sequence's table, 0 for the first tokens. */
  readonly position: number;
  /** The block before it in that table; `NO_BLOCK` for the first. */
  readonly parent: BlockId;
}

/**
 * Maximum number of samples of one kind between two `takeSamples` calls; further ones are dropped.
 */
const MAX_PENDING = 256;

/**
 * What has happened to each block from one allocation to the next, also while it is free and its
 * content is cached. Maps, metrics and eviction policies read this one history. It is always
 * recorded, because it cannot be reconstructed when a reader connects. It costs seven numbers and a
 * reference for each block.
 */
export class BlockHistory {
  readonly #options: BlockHistoryOptions;
  readonly #groups: Uint8Array;
  readonly #positions: Int32Array;
  readonly #parents: Int32Array;
  readonly #contents: (BlockHash | null)[];
  readonly #allocatedAt: Float64Array;
  readonly #usedAt: Float64Array;
  readonly #uses: Uint32Array;
  /** 1 for blocks whose durations are sampled. */
  readonly #sampled: Uint8Array;
  #lifetimes: number[] = [];
  #idle: number[] = [];
  #gaps: number[] = [];

  constructor(options: BlockHistoryOptions) {
    const { numBlocks } = options;
    this.#options = options;
    this.#groups = new Uint8Array(numBlocks);
    this.#positions = new Int32Array(numBlocks);
    this.#parents = new Int32Array(numBlocks).fill(NO_BLOCK);
    this.#contents = Array.from({ length: numBlocks }, () => null);
    this.#allocatedAt = new Float64Array(numBlocks);
    this.#usedAt = new Float64Array(numBlocks);
    this.#uses = new Uint32Array(numBlocks);
    this.#sampled = new Uint8Array(numBlocks);
  }

  group(block: BlockId): number {
    return this.#groups[block];
  }

  position(block: BlockId): number {
    return this.#positions[block];
  }

  parent(block: BlockId): BlockId {
    return this.#parents[block] as BlockId;
  }

  /**
   * Hash of its content, by which lookups find it; null while it is not cached. Equal content
   * always has the same hash.
   */
  content(block: BlockId): BlockHash | null {
    return this.#contents[block];
  }

  /** Milliseconds on the clock of the options. */
  allocatedAt(block: BlockId): number {
    return this.#allocatedAt[block];
  }

  /** When it was last allocated, hit, or released by its last user. */
  usedAt(block: BlockId): number {
    return this.#usedAt[block];
  }

  /** Sequences that used this content, the one that computed it included. */
  uses(block: BlockId): number {
    return this.#uses[block];
  }

  /** New content begins. @param evicted whether cached content ends with it */
  allocated(block: BlockId, place: BlockPlace, evicted: boolean): void {
    const { now, random, sampleRate } = this.#options;
    const time = now();
    if (evicted && this.#sampled[block] === 1) {
      push(this.#lifetimes, time - this.#allocatedAt[block]);
      push(this.#idle, time - this.#usedAt[block]);
    }
    this.#groups[block] = place.group;
    this.#positions[block] = place.position;
    this.#parents[block] = place.parent;
    this.#contents[block] = null;
    this.#allocatedAt[block] = time;
    this.#usedAt[block] = time;
    this.#uses[block] = 1;
    this.#sampled[block] = random() < sampleRate ? 1 : 0;
  }

  /** A lookup finds the block from now on. */
  cached(block: BlockId, content: BlockHash): void {
    this.#contents[block] = content;
  }

  /** A hit or a fork uses the block's content again. */
  reused(block: BlockId): void {
    const time = this.#options.now();
    if (this.#sampled[block] === 1) push(this.#gaps, time - this.#usedAt[block]);
    this.#usedAt[block] = time;
    this.#uses[block] += 1;
  }

  /** The last user has left; until it is evicted or hit, the content is idle. */
  released(block: BlockId): void {
    this.#usedAt[block] = this.#options.now();
  }

  /** The content of one block is forgotten, which is not counted as eviction. */
  forgotten(block: BlockId): void {
    this.#sampled[block] = 0;
    this.#contents[block] = null;
  }

  /** All content is forgotten at once, which is not counted as eviction. */
  reset(): void {
    this.#sampled.fill(0);
    this.#contents.fill(null);
  }

  /** Samples since the last call; null when there are none. */
  takeSamples(): ResidencySamples | null {
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
