import { blockHash } from './block-hash.js';
import { type BlockBirths, type BlockMap } from './block-map.js';
import { BlockPool } from './block-pool.js';
import type { BlockResidency } from './block-residency.js';
import { BlockTable } from './block-table.js';
import type { BlockHash, BlockId } from './ids.js';

/** All layers' pages of `from` must be copied to `to` before the step writes anything. */
export interface BlockCopy {
  readonly from: BlockId;
  readonly to: BlockId;
}

export interface KvCacheConfig {
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly enablePrefixCaching: boolean;
  /** Follows blocks for the metrics. */
  readonly residency?: BlockResidency;
  /** Follows blocks for those who watch; without it there is no map. */
  readonly births?: BlockBirths;
}

/** Gives sequences their blocks, finds what is cached of them, and shares what can be shared. */
export class KvCacheManager {
  readonly blockSize: number;
  readonly pool: BlockPool;
  readonly #caching: boolean;
  readonly #births: BlockBirths | null;

  constructor(config: KvCacheConfig) {
    this.blockSize = config.blockSize;
    this.pool = new BlockPool(config.numBlocks, config.residency ?? null);
    this.#caching = config.enablePrefixCaching;
    this.#births = config.births ?? null;
  }

  /** Blocks that hold `numTokens` tokens. */
  blocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize);
  }

  /**
   * The longest cached prefix of `tokens`, as blocks to hand to `allocate`. At least the last token is left to
   * compute: without it there would be no logits to sample from.
   */
  findCachedPrefix(table: BlockTable, tokens: readonly number[]): BlockId[] {
    const hits: BlockId[] = [];
    if (!this.#caching) return hits;
    const most = Math.floor((tokens.length - 1) / this.blockSize);
    while (hits.length < most) {
      const block = this.pool.lookup(this.#hashAt(table, tokens, hits.length));
      if (block === undefined) break;
      hits.push(block);
    }
    return hits;
  }

  /**
   * Makes room for the K and V of `tokens[0 .. numTokens)`, of which the step will write those from `numComputed` on.
   * `hits` (from `findCachedPrefix`, only for an empty table) become its first blocks; they are taken before anything
   * is allocated, so that they are never their own victims. A shared block that the step would write into is
   * replaced by a copy.
   *
   * Blocks that become full are hashed at once: a request scheduled later in the same step may hit them, because a
   * step stores K and V of a layer for all its tokens before that layer's attention reads any.
   *
   * @returns the copies that the step must begin with, or null when there are too few blocks; then nothing has changed
   */
  allocate(
    table: BlockTable,
    tokens: readonly number[],
    numComputed: number,
    numTokens: number,
    hits: readonly BlockId[] = [],
  ): BlockCopy[] | null {
    const { pool } = this;
    const held = table.blocks.length + hits.length;
    const missing = Math.max(0, this.blocksFor(numTokens) - held);
    const copied = this.#sharedBlockToWrite(table, numComputed, numTokens);
    const revived = hits.reduce((n, block) => n + (pool.refCount(block) === 0 ? 1 : 0), 0);
    if (missing + copied.length > pool.numFree - revived) return null;

    for (const block of hits) {
      pool.touch(block);
      table.blocks.push(block);
    }
    table.numOffered += hits.length;
    const copies = copied.map((index) => this.#copyOnWrite(table, index));
    for (let i = 0; i < missing; i++) table.blocks.push(this.#take(table, table.blocks.length));
    if (this.#caching) this.#cacheFullBlocks(table, tokens, numTokens);
    return copies;
  }

  /** A table that shares all blocks of `parent`, full and partial. */
  fork(parent: BlockTable): BlockTable {
    const child = new BlockTable(parent.root);
    child.hashes.push(...parent.hashes);
    child.numOffered = parent.numOffered;
    for (const block of parent.blocks) {
      this.pool.touch(block);
      child.blocks.push(block);
    }
    return child;
  }

  /** Lets all blocks go, last first, so that the tail of a chain is evicted before its head. */
  release(table: BlockTable): void {
    for (let block = table.blocks.pop(); block !== undefined; block = table.blocks.pop()) {
      this.pool.release(block);
    }
    table.numOffered = 0;
  }

  /** Forgets all cached prefixes. Refused (false) while blocks are in use. */
  resetPrefixCache(): boolean {
    return this.pool.resetCache();
  }

  /** All blocks as they are now. @throws Error without `births` */
  map(): BlockMap {
    if (!this.#births) throw new Error('the births of blocks are not followed');
    return this.#births.map(this.pool);
  }

  /**
   * @param tables every live sequence's table
   * @throws Error when the pool contradicts itself, or its counts do not match the tables
   */
  checkIntegrity(tables: Iterable<BlockTable>): void {
    this.pool.checkIntegrity();
    const users = new Map<BlockId, number>();
    for (const table of tables) {
      for (const block of table.blocks) users.set(block, (users.get(block) ?? 0) + 1);
    }
    for (let id = 0; id < this.pool.numBlocks; id++) {
      const block = id as BlockId;
      const expected = users.get(block) ?? 0;
      const actual = this.pool.refCount(block);
      if (actual !== expected) {
        throw new Error(`block ${block} is in ${expected} tables, its count is ${actual}`);
      }
    }
  }

  /** The one block, if any, that holds tokens before `numComputed`, is written next, and has other users. */
  #sharedBlockToWrite(table: BlockTable, numComputed: number, numTokens: number): number[] {
    const index = Math.floor(numComputed / this.blockSize);
    const block = table.blocks[index];
    if (block === undefined || numTokens <= numComputed) return [];
    return this.pool.refCount(block) > 1 ? [index] : [];
  }

  /** A new block for a place of a table. */
  #take(table: BlockTable, index: number): BlockId {
    const block = this.pool.allocate();
    this.#births?.allocated(block, table.blocks, index);
    return block;
  }

  #copyOnWrite(table: BlockTable, index: number): BlockCopy {
    const from = table.blocks[index];
    const to = this.#take(table, index);
    this.pool.release(from);
    table.blocks[index] = to;
    return { from, to };
  }

  #cacheFullBlocks(table: BlockTable, tokens: readonly number[], numTokens: number): void {
    const full = Math.floor(numTokens / this.blockSize);
    for (; table.numOffered < full; table.numOffered++) {
      const hash = this.#hashAt(table, tokens, table.numOffered);
      this.pool.cache(table.blocks[table.numOffered], hash);
    }
  }

  #hashAt(table: BlockTable, tokens: readonly number[], index: number): BlockHash {
    const { hashes } = table;
    while (hashes.length <= index) {
      const start = hashes.length * this.blockSize;
      const parent = hashes.at(-1) ?? table.root;
      hashes.push(blockHash(parent, tokens, start, start + this.blockSize));
    }
    return hashes[index];
  }
}
