import type { BlockHistory } from './block-history.js';
import type { BlockListener } from './block-pool.js';
import type { CacheEventLog } from './cache-events.js';
import type { CacheGroup } from './cache-group.js';
import type { CheckpointTree } from './checkpoint-tree.js';
import type { EvictionPolicyName } from './eviction/create-eviction.js';
import type { EvictionPolicy } from './eviction/eviction-policy.js';
import type { BlockHash, BlockId } from './ids.js';

/** All pages of `from` must be copied to `to` before the step writes anything. */
export interface BlockCopy {
  readonly from: BlockId;
  readonly to: BlockId;
}

/** @param parent null for the first content of a sequence */
export type StoreListener = (block: BlockId, hash: BlockHash, parent: BlockHash | null) => void;

export interface KvCacheConfig {
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly enablePrefixCaching: boolean;
  /** Groups of layers that share block tables; default: one group with full attention. */
  readonly groups?: readonly CacheGroup[];
  /**
   * Whether a step can copy a block before it writes; default: it can. Where not, a sequence
   * computes the tokens of a block once more that it shares and writes into: see `firstToCompute`.
   */
  readonly canCopyBlocks?: boolean;
  /** Records the history of all blocks. */
  readonly history: BlockHistory;
  /**
   * Which free block is reused next: the name of a policy, or the caller's own policy, which may
   * read the history. Default: the least recently used.
   */
  readonly eviction?: EvictionPolicyName | EvictionPolicy;
  /**
   * Of states, which the caller's own policy reads; absent: a new one, for models with states.
   */
  readonly checkpoints?: CheckpointTree;
  /** Is told of every change in what lookups find; absent for none. */
  readonly events?: CacheEventLog;
  /** Told of each content that the pool is about to lose; absent: it is lost. */
  readonly onEvict?: BlockListener;
  /** Told of each block in which a sequence finds its content; the next step may compute it. */
  readonly onHit?: BlockListener;
  /**
   * Told of each block that lookups find from now on, and of the content before it in its sequence;
   * the next step may compute it.
   */
  readonly onStore?: StoreListener;
}
