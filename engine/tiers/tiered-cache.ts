import type { BlockHistory } from '../../kvcache/block-history.js';
import type { BlockPool } from '../../kvcache/block-pool.js';
import type { BlockHash, BlockId } from '../../kvcache/ids.js';
import type { BlockLoad, GroupContent } from '../../kvcache/tier-contents.js';
import type { PrefixTiers, Wanted } from '../../scheduler/prefix-tiers.js';
import type { TierName, TierStats } from '../protocol/reports.js';
import { type BlockKey, type BlockTier, blockKey } from './block-tier.js';
import type { BlockTransfer } from './block-transfer.js';
import { CopyOuts } from './copy-outs.js';
import { FarLoads } from './far-loads.js';
import { LoadTimes } from './load-times.js';
import type { MemoryTier } from './memory-tier.js';
import { SharedContents } from './shared-contents.js';
import { TierUse } from './tier-use.js';
import { WriteBehind } from './write-behind.js';

export interface FarTier {
  readonly tier: BlockTier;
  /** Which contents it gets: all that leave the pages, or those that are asked for again. */
  readonly keeps: 'all' | 'reused';
}

/** What decides whether a sequence waits for its contents, and how long. */
export interface TierWaits {
  /** Milliseconds after which a sequence does not wait any longer for its blocks; default 2,000. */
  readonly patienceMs?: number | undefined;
  /** Chooses between loading and computing. */
  readonly loadTimes?: LoadTimes | undefined;
}

export interface TieredCacheOptions extends TierWaits {
  /** The pages of all blocks. */
  readonly pages: BlockTransfer;
  readonly history: BlockHistory;
  readonly memory: MemoryTier;
  /** Farther tiers, the nearest first. The cache closes them. */
  readonly far: readonly FarTier[];
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

const PATIENCE_MS = 2000;

/** What is kept near for one sequence. */
interface Fetch {
  /** Pinned in memory. */
  readonly held: Set<BlockKey>;
  isReleased: boolean;
}

/**
 * The tiers behind the pages: what leaves the pages goes to memory and from there to farther tiers,
 * and comes back through memory. Only copies between pages and memory are made here; farther tiers
 * work in their own threads.
 *
 *     pages --onEvict--> memory --write behind--> disk, Redis
 *     pages <--load----- memory <----fetch------- disk, Redis
 *
 * Pages are copied out when the scheduler has made a plan, all that the plan gives up at once
 * (`CopyOuts`). They are copied in by the runner, after the plan's copies and before anything is
 * computed.
 */
export class TieredCache implements PrefixTiers {
  readonly #options: TieredCacheOptions;
  readonly #memory: MemoryTier;
  readonly #copyOuts: CopyOuts;
  readonly #times: LoadTimes;
  readonly #loads: FarLoads;
  readonly #writes: WriteBehind;
  readonly #shared: SharedContents;
  readonly #use = new TierUse();
  readonly #fetches = new Map<number, Fetch>();
  /** Pins that end when the step has read what its plan loads. */
  #released: BlockKey[] = [];
  #arrived: number[] = [];
  #wake: (() => void) | null = null;

  constructor(options: TieredCacheOptions) {
    this.#options = options;
    this.#memory = options.memory;
    const { memory, far, pages, history, now } = options;
    this.#copyOuts = new CopyOuts(pages, memory, history);
    this.#writes = new WriteBehind(memory);
    this.#shared = new SharedContents({
      tiers: far.filter(({ keeps }) => keeps === 'reused').map(({ tier }) => tier),
      memory,
      writes: this.#writes,
      history,
      copyOuts: this.#copyOuts,
    });
    this.#times = options.loadTimes ?? new LoadTimes();
    this.#loads = new FarLoads({
      memory,
      tiers: far.map(({ tier }) => tier),
      bytesPerBlock: pages.bytesPerBlock,
      now,
      times: this.#times,
      use: this.#use,
      onAnswer: (key, tier, isThere) => this.#shared.answered(key, tier, isThere),
    });
  }

  /** By tier, the nearest first. */
  get stats(): TierStats[] {
    const tiers = [this.#memory, ...this.#options.far.map(({ tier }) => tier)];
    return tiers.map((tier) => this.#use.stats(tier, this.#writes));
  }

  /** For `KvCacheConfig.onEvict`. */
  evicted(block: BlockId, hash: BlockHash): void {
    this.#copyOuts.note(block, hash, (key) => {
      for (const { tier, keeps } of this.#options.far) {
        if (keeps === 'all') this.#writes.add(key, tier);
      }
      this.#shared.evicted(key, hash);
    });
  }

  /** For `KvCacheConfig.onHit`. */
  hit(block: BlockId, hash: BlockHash): void {
    this.#shared.hit(block, hash);
  }

  /** For `KvCacheConfig.onStore`. */
  stored(block: BlockId, hash: BlockHash, parent: BlockHash | null): void {
    this.#shared.stored(block, hash, parent);
  }

  /**
   * Copies what a plan has given up to memory. Await it after each plan, before its step begins. A
   * rejection is final.
   */
  copyOut(): Promise<void> {
    return this.#copyOuts.flush();
  }

  fetch(sequence: number, { contents, choose }: Wanted): boolean {
    const fetch: Fetch = { held: new Set(), isReleased: false };
    this.#fetches.set(sequence, fetch);
    this.#hold(fetch, choose(this.#inMemory).contents);
    const keys = contents.map(keyOf);
    const far = keys.filter((key) => !this.#memory.holds(key));
    this.#use.asked(this.#memory, keys.length, keys.length - far.length);
    if (this.#options.far.length === 0) return false;
    const asked = this.#shared.asked(contents);
    if (far.length === 0) return false;
    void this.#bring(fetch, far, choose, asked).finally(() => {
      if (!fetch.isReleased) this.#arrive(sequence);
    });
    return true;
  }

  takeArrived(): readonly number[] {
    const arrived = this.#arrived;
    this.#arrived = [];
    return arrived;
  }

  isNear(sequence: number, group: number, hash: BlockHash): boolean {
    return this.#fetches.get(sequence)?.held.has(blockKey(group, hash)) ?? false;
  }

  release(sequence: number): void {
    const fetch = this.#fetches.get(sequence);
    if (!fetch) return;
    this.#fetches.delete(sequence);
    fetch.isReleased = true;
    for (const key of fetch.held) this.#released.push(key);
  }

  /** Copies what a plan loads into its pages. */
  async load(loads: readonly BlockLoad[]): Promise<void> {
    const start = this.#options.now();
    const contents = loads.map((load) => {
      const content = this.#memory.read(keyOf(load));
      if (!content) throw new Error(`block ${load.block} is to be loaded, and is not near`);
      return content;
    });
    await this.#options.pages.write(
      loads.map(({ block }) => block),
      contents,
    );
    this.#use.loaded(this.#memory, this.#options.now() - start);
  }

  /** Lets go of what is near for released sequences. Call it between two steps. */
  unpinReleased(): void {
    for (const key of this.#released) this.#memory.unpin(key);
    this.#released = [];
  }

  /**
   * Await it after each step, and when there is none: nothing that was planned is still to be
   * loaded. A rejection is final.
   */
  async settle(): Promise<void> {
    this.unpinReleased();
    this.#shared.settle();
    await this.#copyOuts.flush();
    this.#writes.flush();
  }

  /** Learns what computing costs. */
  computed(tokens: number, ms: number): void {
    this.#times.computed(tokens, ms);
  }

  /** Resolves when a sequence that waits for blocks can go on. */
  whenArrived(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#arrived.length > 0) return resolve();
      this.#wake = resolve;
    });
  }

  /**
   * Forgets all contents, but those that sequences are loading now. What was to be written is
   * written first, so that nothing follows; steps may go on meanwhile.
   *
   * @returns tiers that still hold theirs, because they do not answer
   */
  async clear(): Promise<TierName[]> {
    await this.#writes.drain();
    this.#memory.clear();
    this.#shared.clear();
    const { far } = this.#options;
    const cleared = await Promise.all(far.map(async ({ tier }) => tier.clear()));
    return far.filter((_, i) => !cleared[i]).map(({ tier }) => tier.stats.name);
  }

  /**
   * Writes what pages and memory hold to the tiers that outlive the process, and waits for it. Call
   * it between two steps, after the last one.
   */
  async save(pool: BlockPool): Promise<void> {
    for (const { tier, keeps } of this.#options.far) {
      if (keeps !== 'all') continue;
      for (const key of this.#memory.keys().reverse()) await this.#save(key, tier);
      // What is to be kept longest is written last: a tier gives up first what came first.
      const places = Math.floor(tier.stats.capacityBytes / this.#options.pages.bytesPerBlock);
      const cached = [...pool.freeBlocks(), ...pool.usedBlocks()].filter((id) => pool.hashOf(id));
      for (const block of cached.slice(Math.max(0, cached.length - places))) {
        if (this.#copyOuts.size >= this.#writes.room) await this.#drain();
        const hash = pool.hashOf(block) as BlockHash;
        this.#copyOuts.note(block, hash, (key) => this.#writes.add(key, tier));
      }
    }
    await this.#drain();
  }

  /** Waits for what is being written. Idempotent. */
  async close(): Promise<void> {
    await this.#writes.drain();
    await Promise.all(this.#options.far.map(async ({ tier }) => tier.close()));
    this.#memory.close();
  }

  readonly #inMemory = (group: number, hash: BlockHash): boolean =>
    this.#memory.holds(blockKey(group, hash));

  /** Copies out what is noted, and waits until it is written. */
  async #drain(): Promise<void> {
    await this.#copyOuts.flush();
    await this.#writes.drain();
  }

  #arrive(sequence: number): void {
    this.#arrived.push(sequence);
    this.#wake?.();
    this.#wake = null;
  }

  /**
   * At most as long as a sequence has patience.
   *
   * @param asked until the tiers' servers know that the contents were asked for
   */
  async #bring(
    fetch: Fetch,
    keys: readonly BlockKey[],
    choose: Wanted['choose'],
    asked: Promise<void>,
  ): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.patienceMs ?? PATIENCE_MS);
    });
    await Promise.race([Promise.all([this.#load(fetch, keys, choose), asked]), patience]);
    clearTimeout(timer);
  }

  async #load(fetch: Fetch, keys: readonly BlockKey[], choose: Wanted['choose']): Promise<void> {
    const contents = await this.#loads.bring(keys, choose, () => !fetch.isReleased);
    if (!fetch.isReleased) this.#hold(fetch, contents);
  }

  async #save(key: BlockKey, tier: BlockTier): Promise<void> {
    if (this.#writes.room <= 0) await this.#writes.drain();
    this.#writes.add(key, tier);
  }

  /** Pins those of the contents that are in memory. */
  #hold(fetch: Fetch, contents: readonly GroupContent[]): void {
    for (const key of contents.map(keyOf)) {
      if (fetch.held.has(key) || !this.#memory.holds(key)) continue;
      this.#memory.pin(key);
      fetch.held.add(key);
    }
  }
}

function keyOf({ group, hash }: GroupContent): BlockKey {
  return blockKey(group, hash);
}
