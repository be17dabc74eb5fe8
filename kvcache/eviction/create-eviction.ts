import type { BlockHistory } from '../block-history.js';
import { CostAwareEviction } from './cost-aware.js';
import type { EvictionPolicy } from './eviction-policy.js';
import { LearnedReuse } from './learned-reuse.js';
import { LfuEviction } from './lfu.js';
import { LruEviction } from './lru.js';
import { PredictedEviction } from './predicted.js';
import { SegmentedLruEviction } from './slru.js';

/** Names of the policies, in settings and traces. */
export const EVICTION_POLICIES = ['lru', 'slru', 'lfu', 'cost-aware', 'predicted'] as const;

export type EvictionPolicyName = (typeof EVICTION_POLICIES)[number];

/** What a policy is made for. */
export interface EvictionParts {
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Follows the blocks 0 to `numBlocks - 1`. */
  readonly history: BlockHistory;
}

/**
 * Context at which a token's attention costs as much as all else of it: 2 x layers x heads x head
 * size operations for each token before it, against 2 for each weight. About that of Qwen2.5-0.5B;
 * other models have the same order of magnitude, and `cost-aware` needs no more.
 */
const EVEN_CONTEXT = 8192;

const CREATORS: Readonly<Record<EvictionPolicyName, (parts: EvictionParts) => EvictionPolicy>> = {
  lru: ({ numBlocks }) => new LruEviction(numBlocks),
  slru: ({ numBlocks, history }) => new SegmentedLruEviction(numBlocks, history),
  lfu: ({ numBlocks, history }) => new LfuEviction(numBlocks, history),
  'cost-aware': ({ numBlocks, history, blockSize }) =>
    new CostAwareEviction(
      numBlocks,
      history,
      (position) => 1 + (position * blockSize) / EVEN_CONTEXT,
    ),
  predicted: ({ numBlocks, history }) =>
    new PredictedEviction(numBlocks, history, new LearnedReuse(numBlocks)),
};

/** An empty policy. */
export function createEviction(name: EvictionPolicyName, parts: EvictionParts): EvictionPolicy {
  return CREATORS[name](parts);
}
