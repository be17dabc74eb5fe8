import { type CacheGroup, maxHeldBlocks } from '../../kvcache/cache-group.js';
import { bytesPerBlock, type PageLayout, planPages } from '../attention/page-layout.js';
import type { AttentionLayer, CacheDtype } from '../attention/paged-attention.js';
import { OctavoError } from '../errors.js';
import { placeStates, type RecurrentLayer, type StateLayout } from './state-layout.js';

/** What a cache is planned for. */
export interface CacheSizes {
  /** Tokens per block. */
  readonly blockSize: number;
  readonly kvDtype: CacheDtype;
  /** Maximum length of a sequence. */
  readonly maxModelLength: number;
  /** Maximum number of tokens of a step. */
  readonly maxNumBatchedTokens: number;
}

/** Where a model keeps K, V and states: what a block holds, and in which groups. */
export interface CachePlan {
  /** Groups of pages first, then those of states. */
  readonly groups: readonly CacheGroup[];
  readonly pages: PageLayout;
  readonly states: StateLayout;
  /** The cache's memory divided by it is the number of blocks. */
  readonly bytesPerBlock: number;
}

/**
 * @param layers with K and V; layouts refer to them by index
 * @param recurrent layers with a state; none for most models
 */
export function planCache(
  layers: readonly AttentionLayer[],
  { blockSize, kvDtype, maxModelLength, maxNumBatchedTokens }: CacheSizes,
  recurrent: readonly RecurrentLayer[] = [],
): CachePlan {
  const pages = planPages(layers, maxModelLength, maxNumBatchedTokens);
  const pageBytes = bytesPerBlock(layers, pages, blockSize, kvDtype);
  const states = placeStates(recurrent, pages.groups, pageBytes, blockSize);
  const groups = [...pages.groups, ...states.groups];
  return { groups, pages, states, bytesPerBlock: states.bytesPerBlock };
}

/** Blocks that one request of the full length needs. */
export function blocksOfLongest(plan: CachePlan, sizes: CacheSizes): number {
  const { blockSize, maxModelLength, maxNumBatchedTokens } = sizes;
  return plan.groups.reduce(
    (sum, group) => sum + maxHeldBlocks(group, maxModelLength, maxNumBatchedTokens, blockSize),
    0,
  );
}

/**
 * Number of blocks that a memory budget gives.
 *
 * @throws OctavoError `kv_pool_too_small` when they cannot serve one request of the full length;
 *   states the numbers
 */
export function numBlocksIn(plan: CachePlan, kvCacheBytes: number, sizes: CacheSizes): number {
  const { blockSize, maxModelLength } = sizes;
  const numBlocks = Math.floor(kvCacheBytes / plan.bytesPerBlock);
  const needed = blocksOfLongest(plan, sizes);
  if (numBlocks >= needed) return numBlocks;
  throw new OctavoError(
    'kv_pool_too_small',
    `--kv-cache-memory ${kvCacheBytes} bytes holds ${numBlocks} blocks of ${blockSize} tokens ` +
      `(${plan.bytesPerBlock} bytes each); one request of ${maxModelLength} tokens needs ${needed} blocks, ` +
      `${needed * plan.bytesPerBlock} bytes. Give it more memory or lower --max-model-len`,
  );
}
