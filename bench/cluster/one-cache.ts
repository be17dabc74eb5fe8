import type { BlockHash } from '../../kvcache/ids.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { simulatedCache } from '../eviction/simulated-cache.js';
import type { Arrival } from './workload.js';

/**
 * Token hit rate of a single cache for all arrivals, which nothing can route wrongly. Nothing is
 * timed: each request ends when `running` others have begun after it.
 */
export function oneCacheHitRate(
  arrivals: Iterable<Arrival>,
  numBlocks: number,
  running: number,
): number {
  const cache = simulatedCache(numBlocks, { eviction: 'lru' });
  const live: SequenceBlocks[] = [];
  let oldest = 0;
  const release = (): void => {
    cache.release(live[oldest % running]);
    oldest += 1;
  };
  const sums = { prompt: 0, cached: 0 };
  let begun = 0;
  for (const { request, hashes } of arrivals) {
    if (begun - oldest === running) release();
    const blocks = cache.newSequence('root' as BlockHash);
    blocks.hashes.push(...hashes);
    const tokens = { length: request.promptTokens } as readonly number[];
    const prefix = cache.findCachedPrefix(blocks, tokens);
    const cached = prefix?.numTokens ?? 0;
    while (!cache.reserve(blocks, cached, request.tokens, prefix)) {
      if (oldest === begun) throw new Error(`a request of ${request.tokens} tokens has no room`);
      release();
    }
    cache.commit(blocks, tokens, request.tokens);
    live[begun++ % running] = blocks;
    sums.prompt += request.promptTokens;
    sums.cached += cached;
  }
  return sums.cached / sums.prompt;
}
