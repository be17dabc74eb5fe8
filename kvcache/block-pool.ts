import type { BlockHistory, BlockPlace } from './block-history.js';
import type { CacheEventLog } from './cache-events.js';
import type { CheckpointTree } from './checkpoint-tree.js';
import type { EvictionPolicy } from './eviction/eviction-policy.js';
import type { BlockHash, BlockId } from './ids.js';

export interface BlockPoolOptions {
  readonly numBlocks: number;
  /** Groups of layers: a hash is found in its own group only. */
  readonly numGroups: number;
  /** Must be empty: the pool fills it. */
  readonly eviction: EvictionPolicy;
  readonly history: BlockHistory;
  /** Is told of content that lookups do not find any more; absent for none. */
  readonly events?: CacheEventLog;
  readonly onEvict?: BlockListener;
  /** Which contents the checkpoints of states need; absent for models without states. */
  readonly checkpoints?: CheckpointTree | null;
}

/**
 * Told of a block and its content. `onEvict`: right before the content is forgotten, while the
 * pages still hold it; the block has no user, and the next step may overwrite it.
 */
export type BlockListener = (block: BlockId, hash: BlockHash) => void;

/**
 * All blocks of the KV cache: their users (reference counts), their content (hashes), and which is
 * reused next.
 *
 *     allocate          cache            release (last user)           allocate
 *     free, no hash --> used --> used, hashed --> free, hashed --> (hash forgotten) used
 *                                     ^                 |
 *                                     +------ touch ----+   a hit takes it back
 *
 * A block is in the eviction policy exactly when its count is 0. The attention owns the pages;
 * here, blocks are only numbers.
 */
export class BlockPool {
  readonly numBlocks: number;
  /** Holds the free blocks; only the pool changes it. */
  readonly eviction: EvictionPolicy;
  readonly #history: BlockHistory;
  readonly #events: CacheEventLog | null;
  readonly #refCounts: Int32Array;
  readonly #hashes: (BlockHash | null)[];
  /** `[group]` */
  readonly #cached: readonly Map<BlockHash, BlockId>[];
  readonly #onEvict: BlockListener | null;
  readonly #checkpoints: CheckpointTree | null;
  #version = 0;

  constructor(options: BlockPoolOptions) {
    const { numBlocks, numGroups } = options;
    if (!Number.isInteger(numBlocks) || numBlocks < 1) {
      throw new Error(`a block pool needs at least one block, got ${numBlocks}`);
    }
    this.numBlocks = numBlocks;
    this.eviction = options.eviction;
    this.#history = options.history;
    this.#events = options.events ?? null;
    this.#onEvict = options.onEvict ?? null;
    this.#checkpoints = options.checkpoints ?? null;
    this.#refCounts = new Int32Array(numBlocks);
    this.#hashes = Array.from({ length: numBlocks }, () => null);
    this.#cached = Array.from({ length: numGroups }, () => new Map<BlockHash, BlockId>());
    // Blocks with low numbers are used first.
    for (let id = numBlocks - 1; id >= 0; id--) this.eviction.add(id as BlockId, false);
  }

  get numFree(): number {
    return this.eviction.size;
  }

  get numUsed(): number {
    return this.numBlocks - this.eviction.size;
  }

  /** Blocks that a lookup can find, used or free. */
  get numCached(): number {
    return this.#cached.reduce((sum, { size }) => sum + size, 0);
  }

  /** Changes whenever the result of a lookup may change. */
  get version(): number {
    return this.#version;
  }

  refCount(block: BlockId): number {
    return this.#refCounts[block];
  }

  hashOf(block: BlockId): BlockHash | null {
    return this.#hashes[block] ?? null;
  }

  lookup(group: number, hash: BlockHash): BlockId | undefined {
    return this.#cached[group].get(hash);
  }

  /** In the order of reuse. */
  freeBlocks(): BlockId[] {
    return [...this.eviction];
  }

  /** In the order of their numbers. */
  usedBlocks(): BlockId[] {
    return Array.from({ length: this.numBlocks }, (_, id) => id as BlockId).filter(
      (block) => this.refCount(block) > 0,
    );
  }

  /**
   * Takes the next free block from the policy, with count 1. Its old content is dropped only now.
   * @throws Error when none is free: callers check `numFree` first, so that an allocation fails as
   *   a whole
   */
  allocate(place: BlockPlace): BlockId {
    const block = this.eviction.takeNext();
    const hash = this.#hashes[block];
    if (hash) this.#lose(block, hash, this.#onEvict);
    this.#refCounts[block] = 1;
    this.#history.allocated(block, place, Boolean(hash));
    return block;
  }

  /** Adds a user to a block that is in use, or free with its content intact. */
  touch(block: BlockId): void {
    if (this.#refCounts[block] === 0) this.eviction.remove(block);
    this.#history.reused(block);
    this.#refCounts[block] += 1;
  }

  /** Removes a user. The block becomes free when the last one leaves. */
  release(block: BlockId): void {
    const count = this.refCount(block) - 1;
    if (count < 0) throw new Error(`block ${block} was released more often than it was taken`);
    this.#refCounts[block] = count;
    if (count > 0) return;
    this.#history.released(block);
    const hash = this.#hashes[block];
    const isUseless =
      hash !== null && this.#checkpoints?.isUseful(this.#history.group(block), hash) === false;
    if (isUseless) {
      this.#lose(block, hash, null);
      this.#history.forgotten(block);
    }
    this.eviction.add(block, hash !== null && !isUseless);
  }

  /**
   * Lets lookups find a full block that is in use. When equal content is already cached (two
   * sequences computed it at the same time), lookups keep finding the older block, and this one
   * stays unhashed.
   *
   * @returns whether lookups find content that they did not find before
   */
  cache(block: BlockId, hash: BlockHash): boolean {
    if (this.refCount(block) === 0) throw new Error(`block ${block} is free: it cannot be hashed`);
    if (this.#hashes[block] !== null) throw new Error(`block ${block} is hashed already`);
    const cached = this.#cached[this.#history.group(block)];
    if (cached.has(hash)) return false;
    cached.set(hash, block);
    this.#hashes[block] = hash;
    this.#history.cached(block, hash);
    this.#version += 1;
    return true;
  }

  /** Drops the content of a free block, which is then reused before those with content. */
  forget(block: BlockId): void {
    const hash = this.hashOf(block);
    if (hash === null || this.refCount(block) > 0) {
      throw new Error(`block ${block} has no content that it could lose`);
    }
    this.#lose(block, hash, null);
    this.#freeAgain(block);
  }

  /** Drops all cached content. Returns false, without any change, while blocks are in use. */
  resetCache(): boolean {
    if (this.numUsed > 0) return false;
    for (const cached of this.#cached) cached.clear();
    this.#events?.cleared();
    this.#hashes.fill(null);
    this.#version += 1;
    this.#history.reset();
    this.#checkpoints?.clear();
    // Tells the policy that the blocks have no content any more.
    for (const block of this.freeBlocks().reverse()) {
      this.eviction.remove(block);
      this.eviction.add(block, false);
    }
    return true;
  }

  /**
   * Lookups find this content no longer. With it goes what they cannot find without it: of a
   * checkpoint the other pieces, and K and V that only this one needed.
   */
  #lose(block: BlockId, hash: BlockHash, onEvict: BlockListener | null): void {
    const group = this.#history.group(block);
    onEvict?.(block, hash);
    this.#cached[group].delete(hash);
    this.#events?.removed(group, hash);
    this.#hashes[block] = null;
    this.#version += 1;
    if (!this.#checkpoints) return;
    const { pieces, full } = this.#checkpoints;
    const unneeded = this.#checkpoints.lost(group, hash);
    if (unneeded !== null) {
      for (const piece of pieces) this.#loseFree(piece, hash, onEvict);
      for (const content of unneeded) {
        for (const g of full) this.#loseFree(g, content, onEvict);
      }
    }
  }

  /** What is in use is lost when its last user leaves. */
  #loseFree(group: number, hash: BlockHash, onEvict: BlockListener | null): void {
    const block = this.lookup(group, hash);
    if (block === undefined || this.refCount(block) > 0) return;
    this.#lose(block, hash, onEvict);
    this.#freeAgain(block);
  }

  /** Tells history and policy that a free block has no content any more. */
  #freeAgain(block: BlockId): void {
    this.#history.forgotten(block);
    this.eviction.remove(block);
    this.eviction.add(block, false);
  }

  /** @throws Error that names the first contradiction between counts, policy and hash table. */
  checkIntegrity(): void {
    this.eviction.checkIntegrity();
    for (let id = 0; id < this.numBlocks; id++) {
      const block = id as BlockId;
      const count = this.refCount(block);
      if (count < 0) throw new Error(`block ${block} has the count ${count}`);
      if ((count === 0) !== this.eviction.has(block)) {
        throw new Error(`block ${block} has the count ${count} and is free: ${count !== 0}`);
      }
      const hash = this.hashOf(block);
      const isUseful =
        hash === null || (this.#checkpoints?.isUseful(this.#history.group(block), hash) ?? true);
      if (count === 0 && !isUseful) throw new Error(`block ${block} is kept, but never found`);
      if (hash !== null && this.lookup(this.#history.group(block), hash) !== block) {
        throw new Error(`block ${block} has a hash under which it is not found`);
      }
    }
    for (const cached of this.#cached) {
      for (const [hash, block] of cached) {
        if (this.hashOf(block) === hash) continue;
        throw new Error(`block ${block} is found under a stale hash`);
      }
    }
  }
}
