import type { BlockPool } from './block-pool.js';
import { type CacheGroup, numExpiredBlocks } from './cache-group.js';
import { type BlockId, NO_BLOCK } from './ids.js';
import { findCachedPrefix, hashAt } from './prefix-lookup.js';
import type { SequenceBlocks } from './sequence-blocks.js';

/** What a prefix is made of: its tokens, and the hashes of its blocks. */
export interface Prefix {
  /** Its blocks need not be the sequence's any more. */
  readonly sequence: SequenceBlocks;
  /** Only whole blocks of them are pinned. */
  readonly tokens: readonly number[];
}

/**
 * Prefixes that stay in the pool under a name, whatever else is evicted. A name is one more user of
 * each block that a lookup of its prefix needs; blocks that several begin with are held once, with
 * as many users:
 *
 *     full        [x][x][x][x][x][x] tail      the tail is no whole block, and is not pinned
 *     window      [ ][ ][ ][ ][x][x]
 *     recurrent   [ ][ ][ ][ ][ ][x]
 */
export class PinnedPrefixes {
  readonly #pool: BlockPool;
  readonly #groups: readonly CacheGroup[];
  readonly #blockSize: number;
  /** By name: the blocks, those of the first tokens first. */
  readonly #pins = new Map<string, readonly BlockId[]>();
  #numBlocks = 0;

  constructor(pool: BlockPool, groups: readonly CacheGroup[], blockSize: number) {
    this.#pool = pool;
    this.#groups = groups;
    this.#blockSize = blockSize;
  }

  /** Number of pinned blocks. */
  get numBlocks(): number {
    return this.#numBlocks;
  }

  /** By pinned block: how many names hold it. The receiver owns the map. */
  users(): Map<BlockId, number> {
    const users = new Map<BlockId, number>();
    for (const blocks of this.#pins.values()) {
      for (const block of blocks) users.set(block, (users.get(block) ?? 0) + 1);
    }
    return users;
  }

  /**
   * Number of pinned blocks once this name stands for this prefix, whether that is computed or not.
   */
  numBlocksWith(name: string, { sequence, tokens }: Prefix): number {
    const others = this.#heldByOthers(name);
    const length = Math.floor(tokens.length / this.#blockSize);
    let count = others.size;
    for (const [g, group] of this.#groups.entries()) {
      const first = numExpiredBlocks(group, length * this.#blockSize, this.#blockSize);
      for (let index = first; index < length; index++) {
        const hash = hashAt(sequence, tokens, index, this.#blockSize);
        const block = this.#pool.lookup(g, hash);
        if (block === undefined || !others.has(block)) count += 1;
      }
    }
    return count;
  }

  /**
   * Pins what the pool has of a prefix. If the name stands for another one, that is let go.
   *
   * @param mostBlocks that may be pinned, over all names
   * @returns the number of tokens that are pinned, whole blocks; 0, without any change, when the
   *   prefix does not fit, or none of it is cached
   */
  pin(name: string, { sequence, tokens }: Prefix, mostBlocks: number): number {
    const length = Math.floor(tokens.length / this.#blockSize);
    const { tables, numTokens } = findCachedPrefix(
      this.#groups,
      this.#blockSize,
      length,
      (group, index) => this.#pool.lookup(group, hashAt(sequence, tokens, index, this.#blockSize)),
    );
    const blocks = Array.from({ length: numTokens / this.#blockSize }, (_, index) =>
      tables.map((table) => table[index]).filter((block) => block !== NO_BLOCK),
    ).flat();
    const pinned = this.#heldByOthers(name);
    for (const block of blocks) pinned.add(block);
    if (numTokens === 0 || pinned.size > mostBlocks) return 0;
    for (const block of blocks) this.#pool.touch(block);
    this.unpin(name);
    this.#pins.set(name, blocks);
    this.#numBlocks = pinned.size;
    return numTokens;
  }

  /** The prefix stays cached until its blocks are needed. @returns false: nothing has this name */
  unpin(name: string): boolean {
    const blocks = this.#pins.get(name);
    if (!blocks) return false;
    this.#pins.delete(name);
    // The tail becomes free before the head, as with sequences.
    for (const block of blocks.toReversed()) this.#pool.release(block);
    this.#numBlocks = this.users().size;
    return true;
  }

  /** Unpins all. */
  clear(): void {
    for (const name of this.#pins.keys()) this.unpin(name);
  }

  #heldByOthers(name: string): Set<BlockId> {
    const others = [...this.#pins].filter(([other]) => other !== name);
    return new Set(others.flatMap(([, blocks]) => blocks));
  }
}
