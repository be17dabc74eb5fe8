import type { CacheGroup } from '../../kvcache/cache-group.js';

/** A layer that keeps a state of its sequence instead of K and V. */
export interface RecurrentLayer {
  /** Bytes of one sequence's state: all tensors that the layer carries on, end to end. */
  readonly stateBytes: number;
}

/**
 * Where the states of recurrent layers are: in blocks of the same pool as the pages of K and V. The
 * states of a sequence, end to end, are one checkpoint. A checkpoint that is larger than a block
 * takes one block in each of several groups:
 *
 *     checkpoint   [ layer 0 |  layer 2  |  layer 3 | layer 5  ]
 *     groups       [     n       |     n + 1     |    n + 2    ]    n: number of groups of pages
 */
export interface StateLayout {
  /** All alike: a checkpoint is found when each of them has its block. */
  readonly groups: readonly CacheGroup[];
  /** By recurrent layer: where its state begins in the checkpoint. */
  readonly offsets: readonly number[];
  /** Bytes of one checkpoint. */
  readonly bytesPerCheckpoint: number;
  /** Bytes of a block: enough for the pages, and for its piece of a checkpoint. */
  readonly bytesPerBlock: number;
}

/**
 * What one more group costs, as a fraction of the pages: each group costs every sequence a block
 * table, and every lookup of a prefix a hash for each block.
 */
const GROUP_COST = 0.02;

/**
 * Minimum distance of two checkpoints of a prompt. A hit computes half of it again on average, less
 * than a step takes at once.
 */
const CHECKPOINT_TOKENS = 128;

/**
 * Cuts checkpoints into pieces of a block. A block is larger than its pages only where that costs
 * less than further groups would.
 *
 * @param pageGroups groups of the layers with K and V
 * @param pageBytes bytes of one block's pages; 0 for a model without attention
 * @param blockSize tokens per block
 */
export function placeStates(
  layers: readonly RecurrentLayer[],
  pageGroups: readonly CacheGroup[],
  pageBytes: number,
  blockSize: number,
): StateLayout {
  const offsets: number[] = [];
  let bytes = 0;
  for (const { stateBytes } of layers) {
    offsets.push(bytes);
    bytes += stateBytes;
  }
  const numGroups = bestNumGroups(bytes, pageBytes);
  // Checkpoints of a prompt take no more memory than its K and V.
  const growing = pageGroups.filter(({ kind }) => kind === 'full').length;
  const checkpointBlocks = Math.max(
    Math.ceil(CHECKPOINT_TOKENS / blockSize),
    growing > 0 ? Math.ceil(numGroups / growing) : 1,
  );
  return {
    groups: Array.from({ length: numGroups }, () => ({ kind: 'recurrent', checkpointBlocks })),
    offsets,
    bytesPerCheckpoint: bytes,
    bytesPerBlock: Math.max(pageBytes, numGroups > 0 ? Math.ceil(bytes / numGroups) : 0),
  };
}

function bestNumGroups(bytes: number, pageBytes: number): number {
  if (bytes === 0) return 0;
  if (pageBytes === 0) return 1;
  let best = { numGroups: 1, cost: Number.POSITIVE_INFINITY };
  for (let numGroups = 1; numGroups <= Math.ceil(bytes / pageBytes); numGroups++) {
    const wasted = Math.max(0, Math.ceil(bytes / numGroups) - pageBytes) / pageBytes;
    const cost = wasted + GROUP_COST * numGroups;
    if (cost < best.cost) best = { numGroups, cost };
  }
  return best.numGroups;
}
