import type { BlockStore } from '../attention/block-store.js';
import type { CachePlan } from './cache-plan.js';
import { KernelRecurrence } from './kernel-recurrence.js';
import type { Recurrence } from './recurrence.js';
import { RecurrentLayers } from './recurrent-layers.js';
import { StateStore } from './state-store.js';

export interface RecurrentSizes {
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Number of threads that work on one call, including the calling one. */
  readonly threads: number;
}

/**
 * The layers with a state of a model, over the pages of its attention.
 *
 * @param layers those that `plan` was made for
 * @param pages null for a model without attention; stays its owner's
 * @returns null for a model without such layers
 * @throws OctavoError `system_limit` when the system does not give the memory
 */
export function createRecurrentLayers(
  layers: readonly Recurrence[],
  plan: CachePlan,
  pages: BlockStore | null,
  { numBlocks, blockSize, threads }: RecurrentSizes,
): RecurrentLayers | null {
  if (layers.length === 0) return null;
  return new RecurrentLayers({
    layers,
    layout: plan.states,
    numPageGroups: plan.pages.groups.length,
    blockSize,
    kernel: new KernelRecurrence(layers, threads),
    store: new StateStore(pages, plan.states, numBlocks),
  });
}
