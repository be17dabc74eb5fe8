import { OctavoError } from '../errors.js';
import { MAX_MEMORY_BYTES } from './kernel/arena.js';
import { LayerGroup, layerBytes } from './kernel/layer-group.js';
import { compileKernel } from './kernel/module.js';
import { DEAD_AFTER_MS, Team } from './kernel/team.js';
import {
  type AttentionBatch,
  bytesPerBlock,
  type PagedAttention,
  type PagedAttentionConfig,
} from './paged-attention.js';

/** Room in each memory for a step's arrays and the threads' scratch. */
const STEP_RESERVE_BYTES = 256 * 2 ** 20;

/**
 * Work of a call, in multiplications, below which waking a helper costs more than it saves: one sequence of 512 tokens took 1.19 ms for 24
 * layers alone and 1.41 ms with a helper, one of 1,024 tokens 2.35 and 2.01 ms.
 */
const ALONE_BELOW = 1_500_000;

export interface KernelOptions {
  /** Bytes of pages that one memory holds, at most; tests make it small. */
  readonly maxGroupBytes?: number;
  /** A helper thread that does not answer for so long is taken for dead. */
  readonly deadAfterMs?: number;
}

/**
 * Paged attention by the SIMD kernel (kernel/assembly), on `threads` threads. Results do not depend on the number of threads:
 * each task is computed by one thread, in one order.
 */
export class KernelAttention implements PagedAttention {
  readonly groups: readonly LayerGroup[];
  readonly #config: PagedAttentionConfig;
  readonly #groupOf: readonly number[];
  readonly team: Team | null;
  #batch: AttentionBatch | null = null;

  /** @throws OctavoError `model_unsupported`, `usage` for sizes that the kernel does not have */
  constructor(config: PagedAttentionConfig, options: KernelOptions = {}) {
    checkSizes(config);
    this.#config = config;
    const module = compileKernel();
    this.#groupOf = groupLayers(
      config,
      options.maxGroupBytes ?? MAX_MEMORY_BYTES - STEP_RESERVE_BYTES,
    );
    this.groups = Array.from({ length: Math.max(...this.#groupOf) + 1 }, (_, group) => {
      const layers = [...this.#groupOf.keys()].filter((layer) => this.#groupOf[layer] === group);
      return new LayerGroup(module, config, layers);
    });
    // Before there are other threads: a helper that is just starting may miss that a memory grows, and its kernel then takes the new part
    // for out of bounds.
    for (const group of this.groups) group.arena.reserve(STEP_RESERVE_BYTES);
    const helpers = Array.from({ length: config.threads - 1 }, (_, i) => i + 1);
    const memories = this.groups.map((group) => group.arena.memory);
    const scratch = helpers.map((thread) =>
      this.groups.map((group) => group.task(group.layers[0], thread)[2]),
    );
    this.team =
      helpers.length > 0
        ? new Team(module, memories, scratch, options.deadAfterMs ?? DEAD_AFTER_MS)
        : null;
  }

  beginStep(batch: AttentionBatch): void {
    this.team?.check();
    this.#batch = batch;
  }

  forward(
    layer: number,
    query: Float32Array,
    key: Float32Array | null,
    value: Float32Array | null,
    output: Float32Array,
  ): void {
    const batch = this.#batch;
    if (!batch) throw new Error('forward() before beginStep()');
    const groupIndex = this.#groupOf[layer];
    const group = this.groups[groupIndex];
    const { output: place, tasks } = group.prepare(layer, batch, query, key, value);
    const [layerHeader, stepHeader, scratch] = group.task(layer, 0);
    const helped = this.team && tasks > 1 && this.#work(layer, batch) > ALONE_BELOW;
    if (helped) this.team.begin(groupIndex, layerHeader, stepHeader);
    group.kernel.attendTasks(layerHeader, stepHeader, scratch);
    if (helped) this.team.finish();
    output.set(group.arena.floats(place, output.length));
  }

  copyBlock(from: number, to: number): void {
    for (const group of this.groups) group.copyBlock(from, to);
  }

  async dispose(): Promise<void> {
    await this.team?.dispose();
  }

  /** Multiplications of a layer's two products, about. */
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

/** The memory that each layer goes into: in a row, but layers over another one's pages go where those are. */
function groupLayers(config: PagedAttentionConfig, maxBytes: number): number[] {
  const groupOf: number[] = [];
  let [last, used] = [-1, Number.POSITIVE_INFINITY];
  for (const shape of config.layers) {
    if (shape.pagesOf !== undefined) {
      groupOf.push(groupOf[shape.pagesOf]);
      continue;
    }
    const bytes = layerBytes(shape, config);
    if (bytes > maxBytes) {
      throw tooLarge(config, bytes, maxBytes);
    }
    if (used + bytes > maxBytes) {
      last += 1;
      used = 0;
    }
    groupOf.push(last);
    used += bytes;
  }
  return groupOf;
}

/** @param bytes of the layer whose pages do not fit */
function tooLarge(config: PagedAttentionConfig, bytes: number, maxBytes: number): OctavoError {
  const { layers, numBlocks, blockSize, kvDtype } = config;
  const blockBytes = bytesPerBlock(layers, blockSize, kvDtype);
  const most = Math.floor(maxBytes / (bytes / numBlocks)) * blockBytes;
  return new OctavoError(
    'usage',
    `--kv-cache-memory ${gib(numBlocks * blockBytes)}: at most ${gib(most)} for this model and --kv-dtype ${kvDtype}, ` +
      `since the pages of one layer, ${gib(bytes)} then, may have ${gib(maxBytes)}`,
  );
}

/** Rounded down: what is shown can be given. */
const gib = (bytes: number): string =>
  `${(Math.floor((bytes / 2 ** 30) * 100) / 100).toFixed(2)}GiB`;

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
