import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../kvcache/sequence-blocks.js';
import { mostTogether } from './pieces.js';
import type { SchedulingPolicyName } from './policies/scheduling-policy.js';
import type { RequestSpec } from './sequence.js';

/** Configuration of a scheduler: the bounds of its steps and of its sequences. */
export interface SchedulerConfig {
  readonly policy: SchedulingPolicyName;
  /**
   * A sequence is admitted when there are blocks for it, and for what the running ones will need
   * until it ends, each at this quantile of its predicted length, less than 1; 0, or absent: when
   * there are blocks for its first step.
   */
  readonly admissionQuantile?: number;
  /** Maximum number of running sequences. */
  readonly maxNumSeqs: number;
  /** Maximum number of tokens of one step. */
  readonly maxNumBatchedTokens: number;
  /** Maximum number of tokens of one prompt in one step; 0 means no limit but the budget. */
  readonly longPrefillThreshold: number;
  /** Maximum length of prompt plus output. */
  readonly maxModelLength: number;
  /**
   * Lengths, rising, beyond which the model computes all tokens of a sequence differently
   * (LongRoPE's factors). Empty for most models.
   */
  readonly switchLengths: readonly number[];
  /** Identifies model and page format in block hashes. */
  readonly modelFingerprint: string;
}

/**
 * Why a request can never run, whatever other requests do. Plain data: the caller writes the
 * message.
 */
export type Refusal =
  | { readonly reason: 'empty-prompt' }
  | { readonly reason: 'duplicate-id' }
  | { readonly reason: 'context'; readonly tokens: number; readonly limit: number }
  /** `tokens`: those of a content that one step must compute. */
  | { readonly reason: 'step'; readonly tokens: number; readonly limit: number }
  | { readonly reason: 'pool'; readonly blocks: number; readonly limit: number }
  /** More beams than sequences may run. */
  | { readonly reason: 'beams'; readonly beams: number; readonly limit: number }
  /** `blocks`: those of all pinned prefixes, with that of the request. */
  | { readonly reason: 'pins'; readonly blocks: number; readonly limit: number };

/**
 * Tokens of one content that a step can certainly compute together: all others that run may have a
 * token each in it.
 */
export function mostAtOnce({
  maxNumBatchedTokens,
  maxNumSeqs,
}: Pick<SchedulerConfig, 'maxNumBatchedTokens' | 'maxNumSeqs'>): number {
  return Math.max(0, maxNumBatchedTokens - (maxNumSeqs - 1));
}

/** @returns null for a request that can run when it is alone */
export function refusalOf(
  spec: RequestSpec,
  config: SchedulerConfig,
  cache: KvCacheManager,
): Refusal | null {
  const { promptTokenIds, maxTokens, beams, contents = [] } = spec;
  const { maxModelLength, maxNumBatchedTokens } = config;
  if (promptTokenIds.length === 0) return { reason: 'empty-prompt' };
  const together = mostTogether(contents);
  const atOnce = mostAtOnce(config);
  if (together > atOnce) return { reason: 'step', tokens: together, limit: atOnce };
  const tokens = promptTokenIds.length + maxTokens;
  if (tokens > maxModelLength) return { reason: 'context', tokens, limit: maxModelLength };
  // The last token is sampled but never computed, so it needs no slot.
  const stored = maxTokens > 0 ? tokens - 1 : tokens;
  const blocks = cache.maxHeldBlocks(stored, maxNumBatchedTokens);
  const limit = cache.pool.numBlocks;
  if (blocks > limit) return { reason: 'pool', blocks, limit };
  return beams === undefined ? null : beamRefusalOf(beams, blocks, spec, config, cache);
}

/**
 * Beams wait for each other, so all of them must fit at the same time, beside what is pinned.
 *
 * @param blocks maximum number that one of them holds
 */
function beamRefusalOf(
  beams: number,
  blocks: number,
  { promptTokenIds }: RequestSpec,
  config: SchedulerConfig,
  cache: KvCacheManager,
): Refusal | null {
  const { maxNumSeqs } = config;
  if (beams > maxNumSeqs) return { reason: 'beams', beams, limit: maxNumSeqs };
  const limit = cache.pool.numBlocks - maxPinnedBlocks(config, cache);
  // A beam that was preempted finds its prompt again where prefixes are cached and all of a prompt
  // is kept; else it computes blocks of its own.
  const keepsPrompt =
    cache.enablePrefixCaching && cache.groups.every(({ kind }) => kind === 'full');
  const shared = keepsPrompt
    ? cache.groups.length * Math.floor((promptTokenIds.length - 1) / cache.blockSize)
    : 0;
  const together = blocks + (beams - 1) * (blocks - shared);
  return together > limit ? { reason: 'pool', blocks: together, limit } : null;
}

/**
 * Blocks that pinned prefixes may hold together: half of the pool, and no more than leaves room for
 * a sequence of full length. So whatever is pinned, each request that can run can still run.
 */
export function maxPinnedBlocks(
  { maxModelLength, maxNumBatchedTokens }: SchedulerConfig,
  cache: KvCacheManager,
): number {
  if (!cache.enablePrefixCaching) return 0;
  const { numBlocks } = cache.pool;
  const longest = cache.maxHeldBlocks(maxModelLength, maxNumBatchedTokens);
  return Math.max(0, Math.min(Math.floor(numBlocks / 2), numBlocks - longest));
}

/** @returns null for a request that pins nothing, or whose prompt fits beside what is pinned */
export function pinRefusalOf(
  { pin, promptTokenIds: tokens }: RequestSpec,
  config: SchedulerConfig,
  cache: KvCacheManager,
  sequence: SequenceBlocks,
): Refusal | null {
  if (pin === undefined) return null;
  const limit = maxPinnedBlocks(config, cache);
  const blocks = cache.pins.numBlocksWith(pin, { sequence, tokens });
  return blocks > limit ? { reason: 'pins', blocks, limit } : null;
}
