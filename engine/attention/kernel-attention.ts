import { OctavoError } from '../errors.js';
import type { LayerInputs } from './kernel/headers.js';
import { KernelPages, MAX_PAGE_BYTES } from './kernel/kernel-pages.js';
import type { PageMemory } from './kernel/page-memory.js';
import { compileAttention } from './kernel/wide-vectors.js';
import { DEAD_AFTER_MS, WorkerPool } from './kernel/worker-pool.js';
import { partWidths, splitRows } from './packed-rows.js';
import type { PagedAttentionConfig } from './page-layout.js';
import { fullLayout, type PageLayout } from './page-layout.js';
import { type AttentionBatch, type PagedAttention, selectPages } from './paged-attention.js';

/**
 * Work of a call, in multiplications, below which waking a worker costs more than it saves: for 24
 * layers, one sequence of 512 tokens took 1.19 ms without a worker and 1.41 ms with one; one of
 * 1,024 tokens took 2.35 and 2.01 ms.
 */
const ALONE_BELOW = 1_500_000;

export interface KernelOptions {
  /** Maximum bytes of pages in one memory; tests make it small. */
  readonly maxMemoryBytes?: number;
  /** Milliseconds without an answer after which a worker thread counts as dead. */
  readonly deadAfterMs?: number;
}

/**
 * Paged attention by the SIMD kernel (kernel/assembly), on `threads` threads. Results do not depend
 * on the number of threads: each task is computed by one thread, in one order.
 */
export class KernelAttention implements PagedAttention {
  readonly pages: KernelPages;
  readonly #config: PagedAttentionConfig;
  readonly #layout: PageLayout;
  /** For tests, which end its threads. */
  readonly workerPool: WorkerPool | null;
  #batch: AttentionBatch | null = null;

  /** @throws OctavoError `model_unsupported`, `usage` for sizes that the kernel does not support */
  constructor(config: PagedAttentionConfig, options: KernelOptions = {}) {
    checkSizes(config);
    this.#config = config;
    const module = compileAttention(config.kvDtype);
    this.#layout = config.layout ?? fullLayout(config.layers);
    this.pages = new KernelPages(
      module,
      config,
      this.#layout,
      options.maxMemoryBytes ?? MAX_PAGE_BYTES,
    );
    const { memories } = this.pages;
    const threads = Array.from({ length: config.threads - 1 }, (_, i) => i + 1);
    this.workerPool =
      threads.length > 0
        ? new WorkerPool(
            module,
            memories.map(({ arena }) => arena.memory),
            threads.map((thread) => memories.map((memory) => memory.scratch(thread))),
            options.deadAfterMs ?? DEAD_AFTER_MS,
          )
        : null;
  }

  beginStep(batch: AttentionBatch): void {
    this.workerPool?.check();
    this.#batch = batch;
  }

  store(layer: number, key: Float32Array, value: Float32Array): void {
    this.pages.memories[this.pages.memoryOf(layer)].store(layer, this.#begun(), key, value);
  }

  attend(layer: number, query: Float32Array, output: Float32Array): void {
    const load = (memory: PageMemory, batch: AttentionBatch): LayerInputs =>
      memory.load(layer, batch, query);
    this.#attend(layer, load, () => query, output);
  }

  attendPacked(layer: number, packed: Float32Array, output: Float32Array): void {
    const load = (memory: PageMemory, batch: AttentionBatch): LayerInputs =>
      memory.loadPacked(layer, batch, packed);
    const widths = partWidths(this.#config.layers[layer]);
    this.#attend(layer, load, () => splitRows(packed, widths)[0], output);
  }

  async dispose(): Promise<void> {
    await this.workerPool?.dispose();
  }

  #begun(): AttentionBatch {
    if (!this.#batch) throw new Error('a step is written or attended before it has begun');
    return this.#batch;
  }

  /**
   * @param load takes the layer's inputs in
   * @param queries gives a selector the queries by themselves
   */
  #attend(
    layer: number,
    load: (memory: PageMemory, batch: AttentionBatch) => LayerInputs,
    queries: () => Float32Array,
    output: Float32Array,
  ): void {
    const batch = this.#begun();
    const index = this.pages.memoryOf(layer);
    const memory = this.pages.memories[index];
    const isHelped = this.#work(layer, batch) > ALONE_BELOW && memory.numTasks(layer, batch) > 1;
    const helper = isHelped ? this.workerPool : null;
    helper?.announce();
    const inputs = load(memory, batch);
    const selection = this.#select(layer, batch, queries);
    const prepared = memory.prepare(layer, batch, inputs, selection);
    helper?.begin(index, prepared.layerHeader, prepared.stepHeader);
    memory.kernel.attendTasks(prepared.layerHeader, prepared.stepHeader, memory.scratch(0));
    helper?.finish();
    output.set(memory.arena.floats(prepared.output, output.length));
  }

  #select(layer: number, batch: AttentionBatch, queries: () => Float32Array): Uint8Array | null {
    const { selector } = this.#config;
    if (!selector) return null;
    const tables = batch.blockTables[this.#layout.layers[layer].group];
    return selectPages(selector, { layer, batch, tables, query: queries() });
  }

  /** Approximate number of multiplications in a layer's two matmuls. */
  #work(layer: number, batch: AttentionBatch): number {
    const { numHeads, headSize } = this.#config.layers[layer];
    let pairs = 0;
    for (let s = 0; s < batch.numSequences; s++) {
      pairs += (batch.queryStarts[s + 1] - batch.queryStarts[s]) * batch.contextLengths[s];
    }
    return 2 * pairs * numHeads * headSize;
  }
}

export function createKernelAttention(config: PagedAttentionConfig): KernelAttention {
  return new KernelAttention(config);
}

function checkSizes(config: PagedAttentionConfig): void {
  const { blockSize } = config;
  if (blockSize < 4 || blockSize > 256 || blockSize % 4 !== 0) {
    throw new OctavoError(
      'usage',
      `--block-size ${blockSize}: must be a multiple of 4, from 4 to 256`,
    );
  }
  for (const [layer, { headSize }] of config.layers.entries()) {
    if (headSize < 8 || headSize > 512 || headSize % 8 !== 0) {
      throw new OctavoError(
        'model_unsupported',
        `layer ${layer} has heads of ${headSize} floats; the kernel takes multiples of 8, from 8 to 512`,
      );
    }
  }
}
