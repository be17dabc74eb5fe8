import type { ContentKey } from './block-hash.js';
import type { EventScope } from './cache-events.js';
import type { BlockHash, BlockId } from './ids.js';

/** What a request says about the future of its prefix. */
export interface ReuseHint {
  /** Requests with the same key are likely to begin alike; null: it says nothing. */
  readonly key: string | null;
  /** Its prefix is to be kept for later requests. */
  readonly isRetained: boolean;
}

export const NO_REUSE_HINT: ReuseHint = { key: null, isRetained: false };

export const NO_SCOPE: EventScope = { adapter: null, cacheSalt: null };

/**
 * One sequence's blocks: entry `i` of each group's table holds K and V of its tokens
 * `i * blockSize` to `(i + 1) * blockSize - 1`, in the layers of that group. Owned by the sequence;
 * only the `KvCacheManager` changes it.
 *
 *     tokens    |<-- committed -->|<-- committed -->|<- partial ->|<- reserved ->|
 *     table     |     (expired)   |    table[1]     |         table[2]           |
 *     hashes         hashes[0]         hashes[1]
 */
export class SequenceBlocks {
  /**
   * `[group][index]`; `NO_BLOCK` where the window or the state of a group has moved on. A table of
   * a recurrent group ends with the block of the last state, and has holes where none was kept.
   */
  readonly tables: readonly BlockId[][];
  /**
   * Chain hashes of the leading full blocks, as far as computed. They outlive the blocks, because
   * tokens do not change.
   */
  readonly hashes: BlockHash[] = [];
  /** Number of leading full blocks that were already committed to the cache. */
  numCommitted = 0;
  /**
   * Leading tokens that are final: those of the last step without its proposals. Recurrent states
   * end with them.
   */
  numKnown = 0;
  /**
   * Leading full blocks that steps of several tokens have computed: its prompt's. What comes after
   * them was generated token by token.
   */
  numPrompted = 0;
  /** `[group]`: number of leading entries that are `NO_BLOCK`. */
  readonly numExpired: number[];
  readonly root: BlockHash;
  readonly contents: readonly ContentKey[];
  readonly reuse: ReuseHint;
  readonly scope: EventScope;

  /**
   * @param root hash of the scope in which blocks are shared
   * @param contents contents that placeholder tokens stand for, in the order of their tokens
   * @param scope what events say of its blocks; `root` is the hash of it and more
   */
  constructor(
    root: BlockHash,
    numGroups: number,
    contents: readonly ContentKey[] = [],
    reuse: ReuseHint = NO_REUSE_HINT,
    scope: EventScope = NO_SCOPE,
  ) {
    this.root = root;
    this.contents = contents;
    this.reuse = reuse;
    this.scope = scope;
    this.tables = Array.from({ length: numGroups }, () => []);
    this.numExpired = Array.from({ length: numGroups }, () => 0);
  }

  /** Whether it holds any block. */
  get isEmpty(): boolean {
    return this.tables.every((table) => table.length === 0);
  }
}
