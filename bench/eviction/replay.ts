import type { BlockHistory } from '../../kvcache/block-history.js';
import type { EvictionPolicyName } from '../../kvcache/eviction/create-eviction.js';
import type { EvictionPolicy } from '../../kvcache/eviction/eviction-policy.js';
import type { BlockHash } from '../../kvcache/ids.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { simulatedCache, simulatedHistory } from './simulated-cache.js';
import { BLOCK_SIZE, type Trace } from './trace.js';

/** Sequences that run at the same time, where the blocks allow it. */
export const RUNNING = 4;
/** Context at which attention costs as much as all else: about that of Qwen2.5-0.5B. */
export const EVEN_CONTEXT = 8192;

export interface ReplayScore {
  /** Share of all prompt tokens that was cached. */
  readonly hitRate: number;
  /**
   * Share of the computation of all prompts that was saved: a token's grows with what stands before
   * it.
   */
  readonly saved: number;
  /** `[request]`: blocks that were hit. */
  readonly hits: Int32Array;
}

/** What a policy that knows the future asks. */
export interface Clock {
  /** Index of the request that comes next. */
  next: number;
}

export type PolicyMaker = (
  numBlocks: number,
  history: BlockHistory,
  clock: Clock,
) => EvictionPolicy;

/** Plays a trace on the real cache, without a model. */
export function replay(
  trace: Trace,
  numBlocks: number,
  policy: EvictionPolicyName | PolicyMaker,
): ReplayScore {
  const history = simulatedHistory(numBlocks);
  const clock: Clock = { next: 0 };
  const cache = simulatedCache(numBlocks, {
    history,
    eviction: typeof policy === 'string' ? policy : policy(numBlocks, history, clock),
  });
  const running: SequenceBlocks[] = [];
  const hits = new Int32Array(trace.requests.length);
  const sums = { tokens: 0, hit: 0, cost: 0, saved: 0 };
  for (const [index, request] of trace.requests.entries()) {
    while (running.length >= RUNNING) cache.release(running.shift() as SequenceBlocks);
    clock.next = index + 1;
    const sequence = cache.newSequence('root' as BlockHash, [], {
      key: request.key,
      isRetained: false,
    });
    sequence.hashes.push(...request.hashes);
    const prompt: number[] = [];
    prompt.length = request.promptTokens;
    const prefix = cache.findCachedPrefix(sequence, prompt);
    const cached = prefix?.numTokens ?? 0;
    while (!cache.reserve(sequence, cached, request.tokens, prefix)) {
      const oldest = running.shift();
      if (!oldest) throw new Error(`a request of ${request.tokens} tokens has no room`);
      cache.release(oldest);
    }
    prompt.length = request.tokens;
    cache.commit(sequence, prompt, request.tokens);
    running.push(sequence);
    hits[index] = cached / BLOCK_SIZE;
    sums.tokens += request.promptTokens;
    sums.hit += cached;
    sums.cost += promptCost(request.promptTokens);
    sums.saved += promptCost(cached);
  }
  return { hitRate: sums.hit / sums.tokens, saved: sums.saved / sums.cost, hits };
}

/** Of computing a prompt, in tokens without a past. */
export function promptCost(tokens: number): number {
  return tokens + tokens ** 2 / (2 * EVEN_CONTEXT);
}
