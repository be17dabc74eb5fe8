import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import {
  type AttentionLayer,
  type CacheDtype,
  ELEMENT_BYTES,
  type KvDtype,
  type PageSelector,
  scaleBytes,
} from './paged-attention.js';

/**
 * Where a layer's pages are: their slot in a block, and the cache group whose block table refers to
 * the block.
 */
export interface LayerPages {
  readonly group: number;
  readonly slot: number;
}

/**
 * Assigns layers to slots and groups. A block has a page for each slot. A block that a sequence
 * holds in one group is used only by that group's layers, so layers of different groups can have
 * the same slot:
 *
 *     slots of a block      0    1    2
 *     group 0, full         L5   L11  L17
 *     group 1, window 512   L0   L1   L2
 *     group 2, window 512   L3   L4   L6       ...
 *
 * A sequence of n tokens holds n / blockSize blocks of the full group, but of each other group only
 * as many as its window needs (as in vLLM's hybrid KV cache manager).
 */
export interface PageLayout {
  readonly groups: readonly CacheGroup[];
  readonly layers: readonly LayerPages[];
  readonly numSlots: number;
}

/**
 * A layout in which every layer keeps its whole past, in its own slot or in that of the layer whose
 * pages it reads.
 */
export function fullLayout(layers: readonly AttentionLayer[]): PageLayout {
  const owners = ownersOf(layers);
  return {
    groups: owners.length > 0 ? [FULL_ATTENTION] : [],
    layers: layers.map(({ pagesOf }, layer) => ({
      group: 0,
      slot: owners.indexOf(pagesOf ?? layer),
    })),
    numSlots: owners.length,
  };
}

/** Layers with their own pages. */
function ownersOf(layers: readonly AttentionLayer[]): number[] {
  return [...layers.keys()].filter((layer) => layers[layer].pagesOf === undefined);
}

/**
 * Groups the layers by their windows. All groups have the same number of slots, some of which may
 * stay empty: Gemma 3 1B (4 layers with full attention, 22 with a window) gets 7 groups of 4 slots,
 * 2 of them empty.
 *
 * Layers can share a slot only when their pages have the same size. Otherwise, and when no window
 * is shorter than the longest sequence and step together, all layers keep their whole past.
 *
 * @param maxTokens maximum length of a sequence
 * @param stepTokens maximum number of tokens of a step
 */
export function planPages(
  layers: readonly AttentionLayer[],
  maxTokens: number,
  stepTokens: number,
): PageLayout {
  const owners = ownersOf(layers);
  /**
   * The longest window among the layers that read an owner's pages; 0 when one of them has full
   * attention.
   */
  const windowOf = (owner: number): number => {
    const windows = layers.flatMap(({ pagesOf, slidingWindow }, layer) =>
      (pagesOf ?? layer) === owner ? [slidingWindow] : [],
    );
    const longest = Math.max(...windows);
    return Math.min(...windows) > 0 && longest + stepTokens < maxTokens ? longest : 0;
  };
  const byWindow = new Map<number, number[]>();
  for (const owner of owners) {
    const window = windowOf(owner);
    byWindow.set(window, [...(byWindow.get(window) ?? []), owner]);
  }
  const sizes = new Set(layers.map(({ numKvHeads, headSize }) => numKvHeads * headSize));
  const isFull = byWindow.size === 1 && byWindow.has(0);
  if (owners.length === 0 || sizes.size > 1 || isFull) return fullLayout(layers);
  // Full attention comes first: readers that use only the first table then find the whole sequence
  // in it, if any group keeps it.
  const kinds = [...byWindow].sort(([a], [b]) => a - b);
  const numSlots = bestGroupSize(kinds.map(([, { length }]) => length));
  const groups: CacheGroup[] = [];
  const placed = new Map<number, LayerPages>();
  for (const [window, members] of kinds) {
    for (let first = 0; first < members.length; first += numSlots) {
      const group = groups.push(window === 0 ? FULL_ATTENTION : { kind: 'sliding-window', window });
      for (const [slot, layer] of members.slice(first, first + numSlots).entries()) {
        placed.set(layer, { group: group - 1, slot });
      }
    }
  }
  const pagesOf = (layer: number): LayerPages => {
    const pages = placed.get(layers[layer].pagesOf ?? layer);
    if (!pages) throw new Error(`layer ${layer} attends over pages that no layer has`);
    return pages;
  };
  return { groups, layers: layers.map((_, layer) => pagesOf(layer)), numSlots };
}

/**
 * Each group costs every sequence a block table. A further group must save at least this fraction
 * of the layers' pages.
 */
const GROUP_COST = 0.02;

/** @param counts number of layers of each kind */
function bestGroupSize(counts: readonly number[]): number {
  const numLayers = counts.reduce((sum, n) => sum + n, 0);
  let best = { size: 1, cost: Number.POSITIVE_INFINITY };
  for (let size = 1; size <= Math.max(...counts); size++) {
    const groups = counts.reduce((sum, n) => sum + Math.ceil(n / size), 0);
    const empty = (groups * size - numLayers) / numLayers;
    const cost = empty + GROUP_COST * groups;
    if (cost < best.cost) best = { size, cost };
  }
  return best.size;
}

/**
 * Bytes of one block's pages over all slots; the cache's memory divided by it is the number of
 * blocks.
 */
export function bytesPerBlock(
  layers: readonly AttentionLayer[],
  layout: PageLayout,
  blockSize: number,
  kvDtype: CacheDtype,
): number {
  let bytes = 0;
  for (let slot = 0; slot < layout.numSlots; slot++) {
    const { numKvHeads, headSize } =
      layers[layout.layers.findIndex((pages) => pages.slot === slot)];
    const rows = 2 * blockSize * numKvHeads;
    bytes += rows * (headSize * ELEMENT_BYTES[kvDtype] + scaleBytes(kvDtype));
  }
  return bytes;
}

/** What an implementation needs to allocate its pages. */
export interface PagedAttentionConfig {
  /** One entry per layer; layers may differ. */
  readonly layers: readonly AttentionLayer[];
  /** Assignment of layers to slots; absent when no layers share a slot. */
  readonly layout?: PageLayout;
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly kvDtype: KvDtype;
  /** Number of threads that work on one call, including the calling one. */
  readonly threads: number;
  /** Chooses the pages that are read; absent: all of them. */
  readonly selector?: PageSelector;
}
