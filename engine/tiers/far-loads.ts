import type { LoadChoice } from '../../kvcache/tier-contents.js';
import type { Wanted } from '../../scheduler/prefix-tiers.js';
import { type BlockKey, type BlockTier, blockKey } from './block-tier.js';
import type { LoadTimes } from './load-times.js';
import type { MemoryTier } from './memory-tier.js';
import type { TierUse } from './tier-use.js';

export interface FarLoadsOptions {
  readonly memory: MemoryTier;
  /** The nearest first. */
  readonly tiers: readonly BlockTier[];
  readonly bytesPerBlock: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Learns here what loads take. */
  readonly times: LoadTimes;
  readonly use: TierUse;
  /** Called for each content that a tier was asked for. */
  readonly onAnswer: (key: BlockKey, tier: BlockTier, isThere: boolean) => void;
}

/** Brings contents from far tiers to memory, where that is quicker than computing them. */
export class FarLoads {
  readonly #options: FarLoadsOptions;
  /** On their way, by content: sequences that begin alike share them. */
  readonly #loads = new Map<BlockKey, Promise<boolean>>();

  constructor(options: FarLoadsOptions) {
    this.#options = options;
  }

  /**
   * Finds out which tiers have contents, and loads those that are worth it.
   *
   * @param keys that are not in memory
   * @param choose what of them, and of what memory has
   * @param isWanted whether the answer is still of use
   * @returns what was chosen; what of it could be loaded is in memory now
   */
  async bring(
    keys: readonly BlockKey[],
    choose: Wanted['choose'],
    isWanted: () => boolean,
  ): Promise<LoadChoice['contents']> {
    const { memory, tiers, bytesPerBlock, times } = this.#options;
    const homes = await this.#homesOf(keys);
    if (!isWanted()) return [];
    const { contents, numTokens } = choose((group, hash) => {
      const key = blockKey(group, hash);
      return memory.holds(key) || homes.has(key);
    });
    const missing = contents
      .map(({ group, hash }) => blockKey(group, hash))
      .filter((key) => !memory.holds(key));
    const parts = tiers.map((tier) => ({
      tier,
      keys: missing.filter((key) => homes.get(key) === tier),
    }));
    const costs = parts.map((part) => ({
      tier: part.tier.stats.name,
      bytes: part.keys.length * bytesPerBlock,
    }));
    if (!times.isQuicker(costs, numTokens)) return [];
    await Promise.all(parts.map((part) => this.#load(part.tier, part.keys)));
    return contents;
  }

  /** The nearest tier that has each of the contents. */
  async #homesOf(keys: readonly BlockKey[]): Promise<Map<BlockKey, BlockTier>> {
    const { tiers, use, onAnswer } = this.#options;
    const homes = new Map<BlockKey, BlockTier>();
    let unknown = keys;
    for (const tier of tiers) {
      if (unknown.length === 0) break;
      const answers = await tier.has(unknown);
      for (const [i, key] of unknown.entries()) {
        if (answers[i]) homes.set(key, tier);
        onAnswer(key, tier, answers[i]);
      }
      use.asked(tier, unknown.length, answers.filter(Boolean).length);
      unknown = unknown.filter((_, i) => !answers[i]);
    }
    return homes;
  }

  /** Loads contents; those that are on their way already are waited for. */
  async #load(tier: BlockTier, keys: readonly BlockKey[]): Promise<void> {
    const { memory, now, bytesPerBlock, times, use } = this.#options;
    const expected: { key: BlockKey; place: Uint8Array }[] = [];
    for (const key of keys) {
      const place = memory.expect(key);
      if (place) expected.push({ key, place });
    }
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
        memory.arrive(key, loaded[i]);
        return loaded[i];
      });
      this.#loads.set(key, load);
    }
    await Promise.all(keys.map(async (key) => this.#loads.get(key)));
    const bytes = expected.length * bytesPerBlock;
    const ms = now() - start;
    times.loaded({ tier: tier.stats.name, bytes }, ms);
    if (bytes > 0) use.loaded(tier, ms);
  }
}
