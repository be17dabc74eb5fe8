import type { BlockResidency } from './block-residency.js';
import { FreeBlockQueue } from './free-block-queue.js';
import type { BlockHash, BlockId } from './ids.js';

/**
 * All blocks of the KV cache: who uses them (reference counts), what they hold (hashes), and which is reused next.
 *
 *     allocate          cache            release (last user)           allocate
 *     free, no hash --> used --> used, hashed --> free, hashed --> (hash forgotten) used
 *                                     ^                 |
 *                                     +------ touch ----+   a hit takes it back
 *
 * A block is in the free queue exactly when its count is 0. The pages themselves belong to the attention; here
 * they are numbers.
 */
export class BlockPool {
  readonly numBlocks: number;
  readonly #free: FreeBlockQueue;
  readonly #refCounts: Int32Array;
  readonly #hashes: (BlockHash | null)[];
  readonly #cached = new Map<BlockHash, BlockId>();
  readonly #residency: BlockResidency | null;

  constructor(numBlocks: number, residency: BlockResidency | null = null) {
    if (!Number.isInteger(numBlocks) || numBlocks < 1) {
      throw new Error(`a block pool needs at least one block, got ${numBlocks}`);
    }
    this.numBlocks = numBlocks;
    this.#residency = residency;
    this.#free = new FreeBlockQueue(numBlocks);
    this.#refCounts = new Int32Array(numBlocks);
    this.#hashes = Array.from({ length: numBlocks }, () => null);
    for (let id = 0; id < numBlocks; id++) this.#free.pushTail(id as BlockId);
  }

  get numFree(): number {
    return this.#free.size;
  }

  get numUsed(): number {
    return this.numBlocks - this.#free.size;
  }

  /** Blocks that a lookup can find, used or free. */
  get numCached(): number {
    return this.#cached.size;
  }

  refCount(block: BlockId): number {
    return this.#refCounts[block];
  }

  hashOf(block: BlockId): BlockHash | null {
    return this.#hashes[block] ?? null;
  }

  lookup(hash: BlockHash): BlockId | undefined {
    return this.#cached.get(hash);
  }

  /** Free order, next to be reused first. */
  freeBlocks(): BlockId[] {
    return [...this.#free];
  }

  /**
   * Takes the least valuable free block; its old content is forgotten now, and not before.
   * Its count is 1.
   * @throws Error when none is free: callers ask `numFree` first, so that an allocation fails whole
   */
  allocate(): BlockId {
    const block = this.#free.popHead();
    const hash = this.#hashes[block];
    if (hash) {
      this.#cached.delete(hash);
      this.#hashes[block] = null;
    }
    this.#refCounts[block] = 1;
    this.#residency?.allocated(block, Boolean(hash));
    return block;
  }

  /** One more user of a block that is used or free with its content intact. */
  touch(block: BlockId): void {
    if (this.#refCounts[block] === 0) this.#free.remove(block);
    this.#residency?.reused(block);
    this.#refCounts[block] = this.refCount(block) + 1;
  }

  /**
   * One user less. The last one's leaving frees the block: unhashed blocks are worthless and go to the head,
   * hashed ones to the tail.
   */
  release(block: BlockId): void {
    const count = this.refCount(block) - 1;
    if (count < 0) throw new Error(`block ${block} was released more often than it was taken`);
    this.#refCounts[block] = count;
    if (count > 0) return;
    this.#residency?.released(block);
    if (this.#hashes[block] === null) this.#free.pushHead(block);
    else this.#free.pushTail(block);
  }

  /**
   * Makes a full block in use findable. When equal content is cached already (two requests computed it side
   * by side), the older block stays the one that is found, and this one stays unhashed.
   */
  cache(block: BlockId, hash: BlockHash): void {
    if (this.refCount(block) === 0) throw new Error(`block ${block} is free: it cannot be hashed`);
    if (this.#hashes[block] !== null) throw new Error(`block ${block} is hashed already`);
    if (this.#cached.has(hash)) return;
    this.#cached.set(hash, block);
    this.#hashes[block] = hash;
  }

  /** Forgets all cached content. Refused (false) while blocks are in use. */
  resetCache(): boolean {
    if (this.numUsed > 0) return false;
    this.#cached.clear();
    this.#hashes.fill(null);
    this.#residency?.reset();
    return true;
  }

  /** @throws Error that names the first contradiction between counts, queue and hash table. */
  checkIntegrity(): void {
    this.#free.checkIntegrity();
    for (let id = 0; id < this.numBlocks; id++) {
      const block = id as BlockId;
      const count = this.refCount(block);
      if (count < 0) throw new Error(`block ${block} has the count ${count}`);
      if ((count === 0) !== this.#free.has(block)) {
        throw new Error(`block ${block} has the count ${count} and is queued: ${count !== 0}`);
      }
      const hash = this.hashOf(block);
      if (hash !== null && this.#cached.get(hash) !== block) {
        throw new Error(`block ${block} has a hash under which it is not found`);
      }
    }
    for (const [hash, block] of this.#cached) {
      if (this.hashOf(block) !== hash)
        throw new Error(`block ${block} is found under a stale hash`);
    }
  }
}
