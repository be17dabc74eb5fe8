import { rootHash } from '../kvcache/block-hash.js';
import type { BlockHash } from '../kvcache/ids.js';
import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import { type CachedPrefix, hashAt } from '../kvcache/prefix-lookup.js';
import type { SequenceBlocks } from '../kvcache/sequence-blocks.js';
import type { SchedulerConfig } from './limits.js';
import type { PrefixSource } from './policies/longest-prefix.js';
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
  #lookup: Lookup | null = null;

  constructor(config: SchedulerConfig, cache: KvCacheManager) {
    this.#config = config;
    this.#cache = cache;
  }

  /**
   * @param length length of the sequence, which determines the sequences it can share blocks with
   */
  newBlocks(spec: RequestSpec, length: number): SequenceBlocks {
    const { cacheSalt, adapter = null, contents, reuse } = spec;
    const { modelFingerprint, switchLengths } = this.#config;
    const lengthClass = switchLengths.filter((limit) => length > limit).length;
    const root = rootHash({ modelFingerprint, adapter, cacheSalt, lengthClass });
    return this.#cache.newSequence(root, contents, reuse, { adapter, cacheSalt });
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
   * Looked up again only when the cache has changed, because the first waiting sequence may wait
   * for many steps.
   */
  cachedPrefix({ spec, numGenerated, blocks, tokens }: Sequence): CachedPrefix | null {
    if (spec.computesWholePrompt && numGenerated === 0) return null;
    const { version } = this.#cache.pool;
    if (this.#lookup?.blocks !== blocks || this.#lookup.version !== version) {
      const prefix = this.#cache.findCachedPrefix(blocks, tokens);
      this.#lookup = { blocks, version, prefix };
    }
    return this.#lookup.prefix;
  }
}
