import type { ContentKey } from './block-hash.js';
import type { BlockHistory } from './block-history.js';
import { type BlockMap, blockMap } from './block-map.js';
import { type BlockListener, BlockPool } from './block-pool.js';
import { checkUsers } from './block-users.js';
import type { CacheEventLog, EventScope } from './cache-events.js';
import {
  type CacheGroup,
  FULL_ATTENTION,
  isWritten,
  maxHeldBlocks,
  numExpiredBlocks,
} from './cache-group.js';
import { CheckpointTree } from './checkpoint-tree.js';
import { createEviction } from './eviction/create-eviction.js';
import { type BlockHash, type BlockId, NO_BLOCK, TO_LOAD } from './ids.js';
import type { BlockCopy, KvCacheConfig, StoreListener } from './kv-cache-config.js';
import { PinnedPrefixes, type Prefix } from './pinned-prefixes.js';
import { type CachedPrefix, findCachedPrefix, type HasContent, hashAt } from './prefix-lookup.js';
import { NO_REUSE_HINT, NO_SCOPE, type ReuseHint, SequenceBlocks } from './sequence-blocks.js';

/**
 * Allocates blocks for sequences, finds their cached prefixes, and shares blocks. For each step of
 * a sequence, the caller reserves slots, commits the known tokens, and truncates rejected proposals
 * afterwards:
 *
 *     tokens   |<-- computed -->|<-- known, computed now -->|<-- proposed -->|
 *     slots    |<--------------------- reserve ----------------------------->|
 *     hashes   |<------------------- commit ---------------->|
 *     after    |<---------------------- computed ---------------->|<truncate>|
 *
 * Proposals are never committed; here, some of them were rejected.
 */
export class KvCacheManager {
  readonly blockSize: number;
  readonly pool: BlockPool;
  readonly groups: readonly CacheGroup[];
  readonly history: BlockHistory;
  /** Holds blocks besides the sequences. */
  readonly pins: PinnedPrefixes;
  /** Whether lookups find anything. */
  readonly enablePrefixCaching: boolean;
  /** See `KvCacheConfig`. */
  readonly canCopyBlocks: boolean;
  /** Null when nothing reads events. */
  readonly events: CacheEventLog | null;
  /** Of states; null for models without, and where lookups find nothing. */
  readonly checkpoints: CheckpointTree | null;
  readonly #hasStates: boolean;
  readonly #onHit: BlockListener | null;
  readonly #onStore: StoreListener | null;

  constructor(config: KvCacheConfig) {
    const { numBlocks, blockSize, history, eviction = 'lru' } = config;
    this.blockSize = blockSize;
    this.groups = config.groups ?? [FULL_ATTENTION];
    this.#hasStates = this.groups.some(({ kind }) => kind === 'recurrent');
    this.canCopyBlocks = config.canCopyBlocks ?? true;
    if (this.#hasStates && !this.canCopyBlocks) {
      throw new Error('a state goes on from a copy of itself, and blocks cannot be copied');
    }
    this.history = history;
    this.#onHit = config.onHit ?? null;
    this.#onStore = config.onStore ?? null;
    this.enablePrefixCaching = config.enablePrefixCaching;
    this.events = config.events ?? null;
    this.checkpoints =
      this.#hasStates && this.enablePrefixCaching
        ? (config.checkpoints ?? new CheckpointTree(this.groups))
        : null;
    this.pool = new BlockPool({
      numBlocks,
      numGroups: this.groups.length,
      eviction:
        typeof eviction === 'string'
          ? createEviction(eviction, {
              numBlocks,
              blockSize,
              history,
              checkpoints: this.checkpoints,
            })
          : eviction,
      history,
      checkpoints: this.checkpoints,
      ...(config.events && { events: config.events }),
      ...(config.onEvict && { onEvict: config.onEvict }),
    });
    this.pins = new PinnedPrefixes(this.pool, this.groups, blockSize);
  }

  /** Number of blocks of one group for `numTokens` tokens. */
  blocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize);
  }

  /**
   * Maximum number of blocks of all groups that a sequence holds at one time.
   *
   * @param numTokens its final length
   * @param stepTokens maximum number of its tokens in one step
   */
  maxHeldBlocks(numTokens: number, stepTokens: number): number {
    // Windows then reach back from the beginning of a block, see `#oldest`.
    const most = stepTokens + (this.canCopyBlocks ? 0 : this.blockSize - 1);
    return this.groups.reduce(
      (sum, group) => sum + maxHeldBlocks(group, numTokens, most, this.blockSize),
      0,
    );
  }

  /**
   * Whether the last token of a sequence can be computed once more over the same blocks. A
   * recurrent state has taken it in already, and does not go back: the sequence must be released
   * and looked up again, which takes it to a checkpoint.
   */
  get canComputeAgain(): boolean {
    return !this.#hasStates;
  }

  /**
   * Where a step of a sequence must begin that goes on at `numComputed`. Where blocks cannot be
   * copied, this is the beginning of a block that it shares and writes into: it computes the
   * tokens there once more, for a block of its own. They are fewer than a block has.
   */
  firstToCompute({ tables }: SequenceBlocks, numComputed: number): number {
    if (this.canCopyBlocks) return numComputed;
    const index = Math.floor(numComputed / this.blockSize);
    const isShared = tables.some(
      (table) => index < table.length && this.pool.refCount(table[index]) > 1,
    );
    return isShared ? index * this.blockSize : numComputed;
  }

  /** A sequence without blocks. @param contents see `SequenceBlocks` */
  newSequence(
    root: BlockHash,
    contents: readonly ContentKey[] = [],
    reuse: ReuseHint = NO_REUSE_HINT,
    scope: EventScope = NO_SCOPE,
  ): SequenceBlocks {
    return new SequenceBlocks(root, this.groups.length, contents, reuse, scope);
  }

  /**
   * The longest cached prefix of `tokens`, to pass to `reserve`; null when there is none. At least
   * the last token remains to be computed: otherwise, there would be no logits to sample from.
   *
   * @param inTier absent: only what the pool has
   */
  findCachedPrefix(
    sequence: SequenceBlocks,
    tokens: readonly number[],
    inTier: HasContent = () => false,
  ): CachedPrefix | null {
    if (!this.enablePrefixCaching) return null;
    const most = Math.floor((tokens.length - 1) / this.blockSize);
    const prefix = findCachedPrefix(this.groups, this.blockSize, most, (group, index) => {
      const hash = hashAt(sequence, tokens, index, this.blockSize);
      return this.pool.lookup(group, hash) ?? (inTier(group, hash) ? TO_LOAD : undefined);
    });
    return prefix.numTokens > 0 ? prefix : null;
  }

  /**
   * Makes room for K and V of the sequence's first `numTokens` tokens, of which the step will write
   * those from `numComputed` on. `prefix` (from `findCachedPrefix`, only for a sequence without
   * blocks) becomes the beginning of its tables; its blocks are taken before any is allocated, so
   * that they are never their own victims, and then new ones for what is loaded. Shared blocks that
   * the step would write into are replaced: by a copy, where they hold earlier tokens, or the state
   * behind them.
   *
   * @param numProposed the last ones of `numTokens` are a guess: no recurrent state is stored
   * @returns the copies that must precede the step; null, without any change, when there are too
   *   few blocks
   */
  reserve(
    sequence: SequenceBlocks,
    numComputed: number,
    numTokens: number,
    prefix: CachedPrefix | null = null,
    numProposed = 0,
  ): BlockCopy[] | null {
    const { pool } = this;
    let missing = 0;
    let revived = 0;
    const shared: { group: number; index: number }[] = [];
    for (const [group, table] of sequence.tables.entries()) {
      const hits = prefix?.tables[group] ?? [];
      const end = this.#tableEnd(group, numTokens, numProposed);
      const length = this.blocksFor(end);
      for (let index = table.length + hits.length; index < length; index++) {
        if (isWritten(this.groups[group], index, end, this.blockSize)) missing += 1;
      }
      for (const block of hits) {
        if (block === TO_LOAD) missing += 1;
        else if (block !== NO_BLOCK && pool.refCount(block) === 0) revived += 1;
      }
      const first = Math.floor(numComputed / this.blockSize);
      for (let index = first; index < Math.min(length, table.length); index++) {
        if (pool.refCount(table[index]) > 1) shared.push({ group, index });
      }
    }
    if (missing + shared.length > pool.numFree - revived) return null;
    if (shared.length > 0 && this.firstToCompute(sequence, numComputed) < numComputed) {
      throw new Error(`the step goes on at token ${numComputed}, inside of a shared block`);
    }

    if (prefix) this.#takePrefix(sequence, prefix);
    const copies = shared.flatMap(({ group, index }) => {
      const copy = this.#replaceShared(sequence, group, index);
      // Slots after `numComputed` are written anyway.
      return index * this.blockSize < numComputed ? [copy] : [];
    });
    for (const [group, table] of sequence.tables.entries()) {
      const end = this.#tableEnd(group, numTokens, numProposed);
      for (let index = table.length; index < this.blocksFor(end); index++) {
        const written = isWritten(this.groups[group], index, end, this.blockSize);
        table.push(written ? this.#allocate(sequence, group, index) : NO_BLOCK);
      }
    }
    sequence.numKnown = numTokens - numProposed;
    if (sequence.numKnown - numComputed > 1) {
      sequence.numPrompted = Math.floor(sequence.numKnown / this.blockSize);
    }
    return copies;
  }

  /**
   * Lets lookups find the full blocks among the first `numTokens` tokens. These must be final: no
   * proposal that may be rejected.
   *
   * Called when slots are reserved, not when they are written: a sequence scheduled later in the
   * same step may hit these blocks, because a step stores K and V of a layer for all its tokens
   * before that layer's attention reads any, and computes the states of a recurrent layer in the
   * order of the plan.
   */
  commit(sequence: SequenceBlocks, tokens: readonly number[], numTokens: number): void {
    if (!this.enablePrefixCaching) return;
    const full = Math.floor(numTokens / this.blockSize);
    for (; sequence.numCommitted < full; sequence.numCommitted++) {
      const index = sequence.numCommitted;
      const hash = hashAt(sequence, tokens, index, this.blockSize);
      for (const [group, table] of sequence.tables.entries()) {
        const block = table[index];
        // One that was found in the pool beside one that is loaded has its hash already.
        if (block === NO_BLOCK || this.pool.hashOf(block) !== null) continue;
        if (!this.pool.cache(block, hash)) continue;
        this.events?.stored(group, index, sequence, tokens);
        this.#onStore?.(block, hash, sequence.hashes[index - 1] ?? null);
        if (group === this.checkpoints?.pieces[0]) {
          this.checkpoints.add(sequence.hashes, index);
        }
      }
    }
  }

  /**
   * Releases the slots after the first `numTokens` tokens, and blocks that no later token reads. Do
   * not call it between `reserve` and the end of that step.
   *
   * @returns the tokens that need not be computed again: `numTokens`, or with recurrent groups
   *   those before the proposals that were accepted, because no state of theirs was kept
   */
  truncate(sequence: SequenceBlocks, numTokens: number): number {
    const length = this.blocksFor(numTokens);
    const computed = this.#hasStates ? Math.min(numTokens, sequence.numKnown) : numTokens;
    if (sequence.numCommitted * this.blockSize > numTokens) {
      throw new Error(`${sequence.numCommitted} blocks are committed, ${numTokens} tokens remain`);
    }
    for (const [g, table] of sequence.tables.entries()) {
      while (table.length > length) this.pool.release(table.pop() as BlockId);
      const expired = numExpiredBlocks(this.groups[g], this.#oldest(computed), this.blockSize);
      for (; sequence.numExpired[g] < expired; sequence.numExpired[g]++) {
        const index = sequence.numExpired[g];
        if (table[index] !== NO_BLOCK) this.pool.release(table[index]);
        table[index] = NO_BLOCK;
        // All pieces of the one before have been released.
        if (this.checkpoints && g === this.checkpoints.pieces.at(-1)) {
          this.#forgetCheckpoint(sequence, index - 1, this.checkpoints);
        }
      }
    }
    return computed;
  }

  /** A sequence that shares all blocks of `parent`, full and partial. */
  fork(parent: SequenceBlocks): SequenceBlocks {
    const { root, contents, reuse, scope } = parent;
    const child = this.newSequence(root, contents, reuse, scope);
    child.hashes.push(...parent.hashes);
    child.numCommitted = parent.numCommitted;
    child.numKnown = parent.numKnown;
    child.numPrompted = parent.numPrompted;
    for (const [g, table] of parent.tables.entries()) {
      child.numExpired[g] = parent.numExpired[g];
      child.tables[g].push(...table);
      for (const block of table) if (block !== NO_BLOCK) this.pool.touch(block);
    }
    return child;
  }

  /**
   * Releases all blocks, the last first, so that the tail of a chain is evicted before its head.
   *
   * @param returns the sequence will be computed again: it was preempted
   */
  release(sequence: SequenceBlocks, returns = false): void {
    this.pool.eviction.releasing?.(sequence, returns);
    const longest = Math.max(...sequence.tables.map(({ length }) => length));
    for (let index = longest - 1; index >= 0; index--) {
      for (const table of sequence.tables) {
        const block = table[index];
        if (block !== undefined && block !== NO_BLOCK) this.pool.release(block);
      }
    }
    for (const table of sequence.tables) table.length = 0;
    sequence.numExpired.fill(0);
    sequence.numCommitted = 0;
    sequence.numKnown = 0;
    sequence.numPrompted = 0;
  }

  /**
   * Pins the whole blocks of a sequence's tokens, see `PinnedPrefixes.pin`. The sequence holds what
   * a lookup behind the last of them needs, and keeps it until this returns.
   *
   * Where another sequence was computing the same, lookups found that one's blocks, and this one's
   * have no hash (`BlockPool.cache`). Those of the other may have been evicted meanwhile, so this
   * one's are committed once more: they are what is pinned then.
   */
  pin(name: string, { sequence, tokens }: Prefix, mostBlocks: number): number {
    const { numCommitted } = sequence;
    sequence.numCommitted = 0;
    this.commit(sequence, tokens, Math.min(tokens.length, numCommitted * this.blockSize));
    sequence.numCommitted = numCommitted;
    return this.pins.pin(name, { sequence, tokens }, mostBlocks);
  }

  /** Lets a pinned prefix go. @returns false: nothing has this name */
  unpin(name: string): boolean {
    return this.pins.unpin(name);
  }

  /**
   * Drops all cached prefixes, pinned ones, too. Returns false, without any change, while sequences
   * use blocks.
   */
  resetPrefixCache(): boolean {
    const pinned = this.pins.users();
    if (this.pool.numUsed > pinned.size) return false;
    for (const [block, users] of pinned) if (this.pool.refCount(block) > users) return false;
    this.pins.clear();
    return this.pool.resetCache();
  }

  /** The present state of all blocks. */
  map(): BlockMap {
    return blockMap(this.pool, this.history);
  }

  /**
   * @param sequences the blocks of every live sequence
   * @throws Error when the pool is inconsistent, or its counts do not match tables and pins
   */
  checkIntegrity(sequences: Iterable<SequenceBlocks>): void {
    this.pool.checkIntegrity();
    this.checkpoints?.checkIntegrity((group, hash) => this.pool.lookup(group, hash) !== undefined);
    checkUsers(this, sequences);
  }

  #takePrefix(sequence: SequenceBlocks, prefix: CachedPrefix): void {
    for (const hits of prefix.tables) {
      for (const [index, block] of hits.entries()) {
        if (block < 0) continue;
        this.pool.touch(block);
        this.#onHit?.(block, sequence.hashes[index]);
      }
    }
    for (const [g, table] of sequence.tables.entries()) {
      for (const [index, entry] of prefix.tables[g].entries()) {
        if (entry === NO_BLOCK) sequence.numExpired[g] += 1;
        table.push(entry === TO_LOAD ? this.#allocate(sequence, g, index) : entry);
      }
    }
    // What is loaded can be found once it is committed.
    const loaded = prefix.tables.map((table) => table.indexOf(TO_LOAD)).filter((at) => at >= 0);
    sequence.numCommitted = Math.min(prefix.numTokens / this.blockSize, ...loaded);
  }

  /** The oldest token that a step may compute which goes on at `numComputed`. */
  #oldest(numComputed: number): number {
    return this.canCopyBlocks ? numComputed : numComputed - (numComputed % this.blockSize);
  }

  /** Tokens that a group's table covers once the step is reserved. */
  #tableEnd(group: number, numTokens: number, numProposed: number): number {
    const keepsProposals = this.groups[group].kind !== 'recurrent';
    return keepsProposals ? numTokens : numTokens - numProposed;
  }

  /**
   * Gives up a checkpoint between generated tokens, once there is a later one: the next turn goes
   * on behind all of them. States may be large, and those of a few texts in the making would soon
   * have taken the place of all that is cached. What another sequence has used stays.
   */
  #forgetCheckpoint(
    sequence: SequenceBlocks,
    index: number,
    { pieces: [group], distance }: CheckpointTree,
  ): void {
    const { pool } = this;
    const { hashes, numPrompted, numCommitted } = sequence;
    if ((index + 1) % distance === 0 || index < numPrompted || index >= numCommitted) return;
    const block = pool.lookup(group, hashes[index]);
    if (block === undefined || pool.refCount(block) > 0 || this.history.uses(block) > 1) return;
    pool.forget(block);
  }

  #replaceShared(sequence: SequenceBlocks, group: number, index: number): BlockCopy {
    const table = sequence.tables[group];
    const from = table[index];
    const to = this.#allocate(sequence, group, index);
    this.pool.release(from);
    table[index] = to;
    // The new block has no hash yet, even if the old one was full.
    sequence.numCommitted = Math.min(sequence.numCommitted, index);
    return { from, to };
  }

  /** Allocates a block for an entry of a table. */
  #allocate(sequence: SequenceBlocks, group: number, position: number): BlockId {
    const parent = position === 0 ? NO_BLOCK : sequence.tables[group][position - 1];
    return this.pool.allocate({ group, position, parent });
  }
}
