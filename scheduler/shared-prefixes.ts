import { rootHash } from '../kvcache/block-hash.js';
import type { BlockHash } from '../kvcache/ids.js';
import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import { type CachedPrefix, hashAt } from '../kvcache/prefix-lookup.js';
import type { SequenceBlocks } from '../kvcache/sequence-blocks.js';
import { contentsToLoad, missingContents } from '../kvcache/tier-contents.js';
import type { SchedulerConfig } from './limits.js';
import type { PrefixSource } from './policies/longest-prefix.js';
import { NO_TIERS, type PrefixTiers } from './prefix-tiers.js';
import type { RequestSpec, Sequence } from './sequence.js';

/** The cached prefix of the first waiting sequence, and the state for which it was found. */
interface Lookup {
  readonly blocks: SequenceBlocks;
  readonly version: number;
  readonly prefix: CachedPrefix | null;
}

/** Determines which sequences may share blocks, and finds cached prefixes. */
export class SharedPrefixes implements PrefixSource {
  readonly #config: SchedulerConfig;
  readonly #cache: KvCacheManager;
  readonly #tiers: PrefixTiers;
  #lookup: Lookup | null = null;

  constructor(config: SchedulerConfig, cache: KvCacheManager, tiers: PrefixTiers) {
    this.#config = config;
    this.#cache = cache;
    this.#tiers = tiers;
  }

  /**
   * @param length length of the sequence, which determines the sequences it can share blocks with
   */
  newBlocks(spec: RequestSpec, length: number): SequenceBlocks {
    const { cacheSalt, adapter = null, contents, reuse } = spec;
    const { modelFingerprint, switchLengths } = this.#config;
    const lengthClass = switchLengths.filter((limit) => length > limit).length;
    const root = rootHash({
      modelFingerprint,
      adapter: adapter?.contentHash ?? null,
      cacheSalt,
      lengthClass,
    });
    return this.#cache.newSequence(root, contents, reuse, {
      adapter: adapter?.name ?? null,
      cacheSalt,
    });
  }

  cachedTokens(sequence: Sequence): number {
    return this.cachedPrefix(sequence)?.numTokens ?? 0;
  }

  missingBlock({ spec, numGenerated, blocks, tokens }: Sequence, cached: number): BlockHash | null {
    const { blockSize, enablePrefixCaching } = this.#cache;
    const isWhole = spec.computesWholePrompt && numGenerated === 0;
    // The last token is computed in any case.
    if (!enablePrefixCaching || isWhole || cached + blockSize >= tokens.length) return null;
    return hashAt(blocks, tokens, cached / blockSize, blockSize);
  }

  /**
   * Asks the tiers for what the pool does not have of a waiting sequence, once for each time that
   * it waits.
   *
   * @returns whether it must wait for them
   */
  mustLoad(sequence: Sequence): boolean {
    const { spec, numGenerated, blocks, tokens } = sequence;
    if (this.#tiers === NO_TIERS || sequence.hasFetched) return false;
    if (spec.computesWholePrompt && numGenerated === 0) return false;
    sequence.hasFetched = true;
    this.#lookup = null;
    const contents = missingContents(this.#cache, blocks, tokens);
    if (contents.length === 0) return false;
    const inPool = this.#cache.findCachedPrefix(blocks, tokens)?.numTokens ?? 0;
    return this.#tiers.fetch(sequence.order, {
      contents,
      numTokens: tokens.length - inPool,
      choose: (inTier) => contentsToLoad(this.#cache, blocks, tokens, inTier),
    });
  }

  /**
   * Looked up again only when the cache has changed, because the first waiting sequence may wait
   * for many steps.
   */
  cachedPrefix(sequence: Sequence): CachedPrefix | null {
    const { spec, numGenerated, blocks, tokens, order, hasFetched } = sequence;
    if (spec.computesWholePrompt && numGenerated === 0) return null;
    const { version } = this.#cache.pool;
    if (this.#lookup?.blocks !== blocks || this.#lookup.version !== version) {
      // What is near stays near until it is released, so the answer holds as long as the pool's.
      const isNear = (group: number, hash: BlockHash): boolean =>
        hasFetched && this.#tiers.isNear(order, group, hash);
      const prefix = this.#cache.findCachedPrefix(blocks, tokens, isNear);
      this.#lookup = { blocks, version, prefix };
    }
    return this.#lookup.prefix;
  }
}
