import type { BlockHistory } from '../../kvcache/block-history.js';
import type { BlockPool } from '../../kvcache/block-pool.js';
import type { BlockHash, BlockId } from '../../kvcache/ids.js';
import type { BlockLoad, GroupContent } from '../../kvcache/tier-contents.js';
import type { PrefixTiers, Wanted } from '../../scheduler/prefix-tiers.js';
import type { BlockStore } from '../attention/block-store.js';
import type { TierStats } from '../protocol/reports.js';
import { type BlockKey, type BlockTier, blockKey } from './block-tier.js';
import { LoadTimes } from './load-times.js';
import type { MemoryTier } from './memory-tier.js';
import { WriteBehind } from './write-behind.js';

export interface TieredCacheOptions {
  /** The pages of all blocks. */
  readonly pages: BlockStore;
  readonly history: BlockHistory;
  readonly memory: MemoryTier;
  /** Farther tiers, the nearest first. The cache closes them. */
  readonly far: readonly BlockTier[];
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Milliseconds after which a sequence does not wait any longer for its blocks. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 2000;

/** What is kept near for one sequence. */
interface Fetch {
  /** Pinned in memory. */
  readonly held: Set<BlockKey>;
  isReleased: boolean;
}

/**
 * The tiers behind the pages: what leaves the pages goes to memory at once and from there to
 * farther tiers, and comes back through memory. Only copies between pages and memory are made here;
 * farther tiers work in their own threads.
 *
 *     pages --onEvict--> memory --write behind--> disk, Redis
 *     pages <--load----- memory <----fetch------- disk, Redis
 *
 * A page is copied out while the scheduler makes a plan: nothing is computed then, so what the page
 * holds is what its block's hash says. It is copied in by the runner, after the plan's copies and
 * before anything is computed.
 */
export class TieredCache implements PrefixTiers {
  readonly #options: TieredCacheOptions;
  readonly #memory: MemoryTier;
  readonly #times = new LoadTimes();
  readonly #writes: WriteBehind;
  readonly #fetches = new Map<number, Fetch>();
  /** Pins that end when the step has read what its plan loads. */
  #released: BlockKey[] = [];
  #arrived: number[] = [];
  /** Loads on their way, by content: sequences that begin alike share them. */
  readonly #loads = new Map<BlockKey, Promise<boolean>>();
  #wake: (() => void) | null = null;

  constructor(options: TieredCacheOptions) {
    this.#options = options;
    this.#memory = options.memory;
    this.#writes = new WriteBehind(options.memory, options.far);
  }

  /** By tier, the nearest first. */
  get stats(): TierStats[] {
    return [this.#memory, ...this.#options.far].map(({ stats }) => stats);
  }

  /** For `KvCacheConfig.onEvict`. */
  evicted(block: BlockId, hash: BlockHash): void {
    const { pages, history } = this.#options;
    const key = blockKey(history.group(block), hash);
    this.#memory.write(key, (place) => pages.read(block, place));
    this.#writes.add(key);
  }

  fetch(sequence: number, { contents, choose }: Wanted): boolean {
    const fetch: Fetch = { held: new Set(), isReleased: false };
    this.#fetches.set(sequence, fetch);
    this.#hold(fetch, choose(this.#inMemory).contents);
    const far = contents.map(keyOf).filter((key) => !this.#memory.holds(key));
    if (this.#options.far.length === 0 || far.length === 0) return false;
    void this.#bring(fetch, far, choose).finally(() => {
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
  load(loads: readonly BlockLoad[]): void {
    for (const load of loads) {
      const content = this.#memory.read(keyOf(load));
      if (!content) throw new Error(`block ${load.block} is to be loaded, and is not near`);
      this.#options.pages.write(load.block, content);
    }
  }

  /**
   * Call after each step, and when there is none: nothing that was planned is still to be loaded.
   */
  settle(): void {
    for (const key of this.#released) this.#memory.unpin(key);
    this.#released = [];
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

  /** Forgets all contents. */
  async clear(): Promise<void> {
    this.#memory.clear();
    await Promise.all(this.#options.far.map(async (tier) => tier.clear()));
  }

  /**
   * Writes what pages and memory hold to the tiers that outlive the process, and waits for it. Call
   * it between two steps, after the last one.
   */
  async save(pool: BlockPool): Promise<void> {
    const { far, pages } = this.#options;
    if (far.length === 0) return;
    const places = Math.max(...far.map(({ stats }) => stats.capacityBytes / pages.bytesPerBlock));
    const kept = [...pool.freeBlocks(), ...pool.usedBlocks()].filter((id) => pool.hashOf(id));
    for (const key of this.#memory.keys().reverse()) {
      if (this.#writes.room <= 0) await this.#writes.drain();
      this.#writes.add(key);
    }
    // What is to be kept longest is written last: a tier gives up first what came first.
    for (const block of kept.slice(Math.max(0, kept.length - Math.floor(places)))) {
      if (this.#writes.room <= 0) await this.#writes.drain();
      this.evicted(block, pool.hashOf(block) as BlockHash);
    }
    await this.#writes.drain();
  }

  /** Waits for what is being written. Idempotent. */
  async close(): Promise<void> {
    await this.#writes.drain();
    await Promise.all(this.#options.far.map(async (tier) => tier.close()));
    this.#memory.close();
  }

  readonly #inMemory = (group: number, hash: BlockHash): boolean =>
    this.#memory.holds(blockKey(group, hash));

  #arrive(sequence: number): void {
    this.#arrived.push(sequence);
    this.#wake?.();
    this.#wake = null;
  }

  /**
   * Finds out which tiers have contents, and loads those that are worth it; at most for a while.
   */
  async #bring(fetch: Fetch, keys: readonly BlockKey[], choose: Wanted['choose']): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.patienceMs ?? PATIENCE_MS);
    });
    await Promise.race([this.#bringAll(fetch, keys, choose), patience]);
    clearTimeout(timer);
  }

  async #bringAll(
    fetch: Fetch,
    keys: readonly BlockKey[],
    choose: Wanted['choose'],
  ): Promise<void> {
    const homes = await this.#homesOf(keys);
    if (fetch.isReleased) return;
    const choice = choose((group, hash) => {
      const key = blockKey(group, hash);
      return this.#memory.holds(key) || homes.has(key);
    });
    const wanted = choice.contents.map(keyOf);
    const parts = [...this.#options.far].map((tier) => {
      const ofTier = wanted.filter((key) => !this.#memory.holds(key) && homes.get(key) === tier);
      return { tier, keys: ofTier };
    });
    const costs = parts.map(({ tier, keys: { length } }) => ({
      tier: tier.stats.name,
      bytes: length * this.#options.pages.bytesPerBlock,
    }));
    if (!this.#times.isQuicker(costs, choice.numTokens)) return;
    await Promise.all(parts.map((part) => this.#loadFrom(part.tier, part.keys)));
    if (!fetch.isReleased) this.#hold(fetch, choice.contents);
  }

  /** The nearest tier that has each of the contents. */
  async #homesOf(keys: readonly BlockKey[]): Promise<Map<BlockKey, BlockTier>> {
    const homes = new Map<BlockKey, BlockTier>();
    let unknown = keys;
    for (const tier of this.#options.far) {
      const answers = await tier.has(unknown);
      for (const [i, key] of unknown.entries()) if (answers[i]) homes.set(key, tier);
      unknown = unknown.filter((_, i) => !answers[i]);
      if (unknown.length === 0) break;
    }
    return homes;
  }

  /** Loads contents into memory; those that are on their way already are waited for. */
  async #loadFrom(tier: BlockTier, keys: readonly BlockKey[]): Promise<void> {
    const expected: { key: BlockKey; place: Uint8Array }[] = [];
    for (const key of keys) {
      const place = this.#memory.expect(key);
      if (place) expected.push({ key, place });
    }
    const { now, pages } = this.#options;
    const start = now();
    const answers = Promise.resolve(
      tier.load(
        expected.map(({ key }) => key),
        expected.map(({ place }) => place),
      ),
    );
    for (const [i, { key }] of expected.entries()) {
      const load = answers.then((loaded) => {
        this.#loads.delete(key);
        this.#memory.arrive(key, loaded[i]);
        return loaded[i];
      });
      this.#loads.set(key, load);
    }
    await Promise.all(keys.map(async (key) => this.#loads.get(key)));
    const bytes = expected.length * pages.bytesPerBlock;
    this.#times.loaded({ tier: tier.stats.name, bytes }, now() - start);
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
