import type { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { SchedulingPolicy } from './policies.js';
import type { RequestSpec } from './sequence.js';

/** What a scheduler is made with: the bounds of its steps and of its sequences. */
export interface SchedulerConfig {
  readonly policy: SchedulingPolicy;
  /** Sequences that run at the same time, at most. */
  readonly maxNumSeqs: number;
  /** Tokens of one step, at most. */
  readonly maxNumBatchedTokens: number;
  /** Tokens of one prompt in one step, at most; 0 leaves it to the budget. */
  readonly longPrefillThreshold: number;
  /** Longest prompt plus output. */
  readonly maxModelLength: number;
  /**
   * The model computes all tokens of a sequence that is longer than one of these lengths otherwise than
   * those of a shorter one (LongRoPE's factors). Rising; none for most models.
   */
  readonly switchLengths: readonly number[];
  /** Identifies model and page format in block hashes. */
  readonly modelFingerprint: string;
}

/** Why a request can never run, whatever else finishes. Plain data: the caller words the error. */
export type Refusal =
  | { readonly reason: 'empty-prompt' }
  | { readonly reason: 'duplicate-id' }
  | { readonly reason: 'context'; readonly tokens: number; readonly limit: number }
  | { readonly reason: 'pool'; readonly blocks: number; readonly limit: number };

/** @returns null for a request that can run when it is alone */
export function refusalOf(
  { promptTokenIds, maxTokens }: RequestSpec,
  { maxModelLength, maxNumBatchedTokens }: SchedulerConfig,
  cache: KvCacheManager,
): Refusal | null {
  if (promptTokenIds.length === 0) return { reason: 'empty-prompt' };
  const tokens = promptTokenIds.length + maxTokens;
  if (tokens > maxModelLength) return { reason: 'context', tokens, limit: maxModelLength };
  // The last token is sampled but never computed, so it needs no place.
  const stored = maxTokens > 0 ? tokens - 1 : tokens;
  const blocks = cache.maxHeldBlocks(stored, maxNumBatchedTokens);
  const limit = cache.pool.numBlocks;
  return blocks > limit ? { reason: 'pool', blocks, limit } : null;
}
