import type { BlockHistory } from '../block-history.js';
import type { EvictionPolicy } from './eviction-policy.js';
import { LfuEviction } from './lfu.js';
import { LruEviction } from './lru.js';
import { SegmentedLruEviction } from './slru.js';

/** Names of the policies, as settings and traces have them. */
export const EVICTION_POLICIES = ['lru', 'slru', 'lfu'] as const;

export type EvictionPolicyName = (typeof EVICTION_POLICIES)[number];

const CREATORS: Readonly<
  Record<EvictionPolicyName, (numBlocks: number, history: BlockHistory) => EvictionPolicy>
> = {
  lru: (numBlocks) => new LruEviction(numBlocks),
  slru: (numBlocks, history) => new SegmentedLruEviction(numBlocks, history),
  lfu: (numBlocks, history) => new LfuEviction(numBlocks, history),
};

/** An empty policy for the blocks 0 to `numBlocks - 1` that the history follows. */
export function createEviction(
  name: EvictionPolicyName,
  numBlocks: number,
  history: BlockHistory,
): EvictionPolicy {
  return CREATORS[name](numBlocks, history);
}
