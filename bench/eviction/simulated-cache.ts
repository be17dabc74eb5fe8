import { BlockHistory } from '../../kvcache/block-history.js';
import type { KvCacheConfig } from '../../kvcache/kv-cache-config.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { BLOCK_SIZE } from './trace.js';

/** A history that times and samples nothing. */
export const simulatedHistory = (numBlocks: number): BlockHistory =>
  new BlockHistory({ numBlocks, now: () => 0, sampleRate: 0, random: () => 0 });

/** A cache with prefix caching and no pages, in the blocks of the traces. */
export const simulatedCache = (
  numBlocks: number,
  options: Partial<KvCacheConfig> = {},
): KvCacheManager =>
  new KvCacheManager({
    numBlocks,
    blockSize: BLOCK_SIZE,
    enablePrefixCaching: true,
    history: simulatedHistory(numBlocks),
    ...options,
  });
