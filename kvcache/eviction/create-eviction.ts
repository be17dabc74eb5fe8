import type { BlockHistory } from '../block-history.js';
import type { CheckpointTree } from '../checkpoint-tree.js';
import { CheckpointValueEviction } from './checkpoint-value.js';
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
  /** Of models with states; absent or null: all content is K and V. */
  readonly checkpoints?: CheckpointTree | null;
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
  'cost-aware': ({ numBlocks, history, blockSize, checkpoints }) => {
    const slope = blockSize / EVEN_CONTEXT;
    const costOf = (position: number): number => 1 + position * slope;
    if (!checkpoints) return new CostAwareEviction(numBlocks, history, costOf);
    return new CheckpointValueEviction(
      numBlocks,
      history,
      checkpoints,
      (from, to) => (to - from) * costOf((from + to - 1) / 2),
    );
  },
  predicted: ({ numBlocks, history }) =>
    new PredictedEviction(numBlocks, history, new LearnedReuse(numBlocks)),
};

/** An empty policy. */
export function createEviction(name: EvictionPolicyName, parts: EvictionParts): EvictionPolicy {
  return CREATORS[name](parts);
}
