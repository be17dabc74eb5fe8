import { OctavoError } from '../../errors.js';
import { PartedBlockStore } from '../block-store.js';
import type { PagedAttentionConfig } from '../page-layout.js';
import { bytesPerBlock, type PageLayout } from '../page-layout.js';
import type { AttentionShape } from '../paged-attention.js';
import { MAX_MEMORY_BYTES } from './arena.js';
import { AttentionPlanner } from './attention-planner.js';
import { slotBytes, tableBytes } from './memory-bytes.js';
import { PageMemory, type PlacedLayer } from './page-memory.js';

/** Space in each memory for a step's arrays and the threads' scratch. */
const STEP_RESERVE_BYTES = 256 * 2 ** 20;

/** Maximum bytes of pages in one memory. */
export const MAX_PAGE_BYTES = MAX_MEMORY_BYTES - STEP_RESERVE_BYTES;

/** The kernel's pages, in as many wasm memories as they need. */
export class KernelPages extends PartedBlockStore {
  readonly bytesPerBlock: number;
  readonly memories: readonly PageMemory[];
  readonly #memoryOf: readonly number[];
  readonly #numBlocks: number;

  /**
   * @param maxBytes maximum bytes of pages in one memory
   * @throws OctavoError `usage` when one slot's pages do not fit into a memory
   */
  constructor(
    module: WebAssembly.Module,
    config: PagedAttentionConfig,
    layout: PageLayout,
    maxBytes: number,
  ) {
    super();
    this.#numBlocks = config.numBlocks;
    const memories = spread(config, layout, maxBytes);
    const planner = new AttentionPlanner(config, layout);
    this.memories = memories.map((layers) => new PageMemory(module, config, layers, planner));
    const memoryOf: number[] = [];
    for (const [index, layers] of memories.entries()) {
      for (const { layer } of layers) memoryOf[layer] = index;
    }
    this.#memoryOf = memoryOf;
    this.bytesPerBlock = this.parts(0).reduce((sum, { byteLength }) => sum + byteLength, 0);
    // Must happen before other threads start: a worker that is just starting may miss that a memory
    // grows, and its kernel then treats the new part as out of bounds.
    for (const { arena } of this.memories) arena.reserve(STEP_RESERVE_BYTES);
  }

  /** Index of the memory that has a layer's pages. */
  memoryOf(layer: number): number {
    return this.#memoryOf[layer];
  }

  protected parts(block: number): Uint8Array[] {
    return this.memories.flatMap((memory) =>
      [...memory.regions()].map(({ start, bytes }) => {
        const size = bytes / this.#numBlocks;
        return memory.arena.bytes(start + block * size, size);
      }),
    );
  }
}

/** Distributes layers over memories; layers of one slot stay together. */
function spread(
  { layers, numBlocks, kvDtype, blockSize, threads }: PagedAttentionConfig,
  layout: PageLayout,
  maxBytes: number,
): PlacedLayer[][] {
  const config = { layers, numBlocks, kvDtype, blockSize, threads };
  const memories: PlacedLayer[][] = [];
  let shapes: AttentionShape[] = [];
  let used = Number.POSITIVE_INFINITY;
  for (let slot = 0; slot < layout.numSlots; slot++) {
    const placed = layout.layers.flatMap((pages, layer) =>
      pages.slot === slot ? [{ layer, shape: layers[layer], slot, group: pages.group }] : [],
    );
    const own = slotBytes(placed[0].shape, config);
    const added = placed.map(({ shape }) => shape);
    const alone = own + tableBytes(added);
    if (alone > maxBytes) throw tooLarge(config, layout, alone, maxBytes);
    if (used + own + tableBytes([...shapes, ...added]) > maxBytes) {
      memories.push([]);
      [used, shapes] = [0, []];
    }
    memories[memories.length - 1].push(...placed);
    used += own;
    shapes.push(...added);
  }
  return memories;
}

/** @param bytes size of the slot whose pages do not fit */
function tooLarge(
  { layers, numBlocks, blockSize, kvDtype }: PagedAttentionConfig,
  layout: PageLayout,
  bytes: number,
  maxBytes: number,
): OctavoError {
  const blockBytes = bytesPerBlock(layers, layout, blockSize, kvDtype);
  const most = Math.floor(maxBytes / (bytes / numBlocks)) * blockBytes;
  return new OctavoError(
    'usage',
    `--kv-cache-memory ${gib(numBlocks * blockBytes)}: at most ${gib(most)} for this model and --kv-dtype ${kvDtype}, ` +
      `since the pages of one layer, ${gib(bytes)} then, may have ${gib(maxBytes)}`,
  );
}

/** Rounded down, so that the size shown is available. */
const gib = (bytes: number): string =>
  `${(Math.floor((bytes / 2 ** 30) * 100) / 100).toFixed(2)}GiB`;
