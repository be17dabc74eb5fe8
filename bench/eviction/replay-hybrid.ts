import type { CacheGroup } from '../../kvcache/cache-group.js';
import type { EvictionPolicyName } from '../../kvcache/eviction/create-eviction.js';
import type { BlockHash } from '../../kvcache/ids.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { CachedPrefix } from '../../kvcache/prefix-lookup.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { promptCost, type ReplayScore, RUNNING } from './replay.js';
import { simulatedCache } from './simulated-cache.js';
import type { Trace } from './trace.js';

/** Of a prompt; generated tokens are computed one by one. */
const STEP_TOKENS = 512;

/**
 * Plays a trace on the real cache of a model with states, without the model. Which checkpoints a
 * sequence leaves behind depends on its steps, so these are made as the scheduler makes them.
 */
export function replayHybrid(
  trace: Trace,
  groups: readonly CacheGroup[],
  numBlocks: number,
  eviction: EvictionPolicyName,
): Omit<ReplayScore, 'hits'> {
  const cache = simulatedCache(numBlocks, { groups, eviction });
  const running: SequenceBlocks[] = [];
  const sums = { tokens: 0, hit: 0, cost: 0, saved: 0 };
  for (const request of trace.requests) {
    while (running.length >= RUNNING) cache.release(running.shift() as SequenceBlocks);
    const reuse = { key: request.key, isRetained: false };
    const sequence = cache.newSequence('root' as BlockHash, [], reuse);
    sequence.hashes.push(...request.hashes);
    const { promptTokens, tokens } = request;
    const prefix = cache.findCachedPrefix(sequence, tokensOf(promptTokens));
    const cached = prefix?.numTokens ?? 0;
    let computed = cached;
    while (computed < tokens) {
      const end =
        computed < promptTokens ? Math.min(promptTokens, computed + STEP_TOKENS) : computed + 1;
      const hit = computed === cached ? prefix : null;
      reserve(cache, sequence, [computed, end], hit, running);
      cache.commit(sequence, tokensOf(end), end);
      computed = cache.truncate(sequence, end);
    }
    running.push(sequence);
    sums.tokens += promptTokens;
    sums.hit += cached;
    sums.cost += promptCost(promptTokens);
    sums.saved += promptCost(cached);
  }
  return { hitRate: sums.hit / sums.tokens, saved: sums.saved / sums.cost };
}

/** Makes room, where it must be, by ending the oldest sequences. */
function reserve(
  cache: KvCacheManager,
  sequence: SequenceBlocks,
  [from, to]: readonly [number, number],
  prefix: CachedPrefix | null,
  running: SequenceBlocks[],
): void {
  while (!cache.reserve(sequence, from, to, prefix)) {
    const oldest = running.shift();
    if (!oldest) throw new Error(`a request of ${to} tokens has no room`);
    cache.release(oldest);
  }
}

/** Their hashes are known, so only their number matters. */
function tokensOf(length: number): number[] {
  const tokens: number[] = [];
  tokens.length = length;
  return tokens;
}
