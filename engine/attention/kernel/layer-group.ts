import {
  type AttentionBatch,
  type AttentionShape,
  type PagedAttentionConfig,
} from '../paged-attention.js';
import { Arena } from './arena.js';
import { HEADER_BYTES, type LayerPlaces, writeLayerHeader, writeStepHeader } from './headers.js';
import { instantiateKernel, type KernelExports } from './module.js';
import { maxRows, queryTiles, WORDS_PER_TILE } from './query-tiles.js';

const ELEMENT_BYTES = { f32: 4, bf16: 2, int8: 1 } as const;

/** Bytes of K pages, or of V pages, of one layer, without scales. */
export function pageBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  const numbers = config.numBlocks * config.blockSize * shape.numKvHeads * shape.headSize;
  return numbers * ELEMENT_BYTES[config.kvDtype];
}

function scaleBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  return config.kvDtype === 'int8' ? config.numBlocks * config.blockSize * shape.numKvHeads * 4 : 0;
}

/** All that a layer keeps in its memory for good. */
export function layerBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  const rotary = shape.rotary ? 2 * shape.rotary.cos.byteLength : 0;
  return 2 * (pageBytes(shape, config) + scaleBytes(shape, config)) + rotary + 64 * 1024;
}

/** Names of a region of pages within a layer. */
const PAGES = ['keyPages', 'valuePages', 'keyScales', 'valueScales'] as const;

/**
 * Layers that share one wasm memory, and an instance of the kernel over it. A pool larger than 4 GiB is spread over several groups.
 */
export class LayerGroup {
  readonly arena = new Arena();
  /** Index of the first layer. */
  readonly firstLayer: number;
  readonly #config: PagedAttentionConfig;
  readonly #layers: readonly { shape: AttentionShape; places: LayerPlaces; header: number }[];
  readonly #kernel: KernelExports;
  readonly #stepHeader: number;
  readonly #scratch: readonly number[];
  #step = { start: 0, bytes: 0 };

  constructor(
    module: WebAssembly.Module,
    config: PagedAttentionConfig,
    firstLayer: number,
    numLayers: number,
  ) {
    this.#config = config;
    this.firstLayer = firstLayer;
    const shapes = config.layers.slice(firstLayer, firstLayer + numLayers);
    this.#layers = shapes.map((shape) => this.#placeLayer(shape));
    this.#stepHeader = this.arena.allocate(HEADER_BYTES);
    const scratch = Math.max(...shapes.map((shape) => scratchBytes(shape, config.blockSize)));
    this.#scratch = Array.from({ length: config.threads }, () => this.arena.allocate(scratch));
    this.#kernel = instantiateKernel(module, this.arena.memory);
  }

  /** What a helper thread needs to take part in a layer's tasks. */
  task(layer: number, thread: number): readonly [layer: number, step: number, scratch: number] {
    return [this.#layers[layer - this.firstLayer].header, this.#stepHeader, this.#scratch[thread]];
  }

  get kernel(): KernelExports {
    return this.#kernel;
  }

  /** Copies the step's arrays in, writes K and V into the pages, and leaves the attention's tasks ready to be taken. */
  prepare(
    layer: number,
    batch: AttentionBatch,
    query: Float32Array,
    key: Float32Array,
    value: Float32Array,
  ): { readonly output: number; readonly tasks: number } {
    const { shape, header } = this.#layers[layer - this.firstLayer];
    const tiles = queryTiles(batch, shape.numHeads / shape.numKvHeads);
    const arrays = [
      batch.queryStarts.subarray(0, batch.numSequences + 1),
      batch.contextLengths.subarray(0, batch.numSequences),
      batch.blockTables.subarray(0, batch.numSequences * batch.blockTableStride),
      tiles,
      query,
      key,
      value,
    ];
    const places = this.#placeStep([...arrays.map((array) => array.byteLength), query.byteLength]);
    arrays.forEach((array, i) => {
      const target =
        array instanceof Float32Array
          ? this.arena.floats(places[i], array.length)
          : this.arena.ints(places[i], array.length);
      target.set(array);
    });
    const numTiles = tiles.length / WORDS_PER_TILE;
    writeStepHeader(this.arena.memory, this.#stepHeader, {
      queryStarts: places[0],
      contextLengths: places[1],
      blockTables: places[2],
      tableStride: batch.blockTableStride,
      numSequences: batch.numSequences,
      tiles: places[3],
      query: places[4],
      key: places[5],
      value: places[6],
      output: places[7],
      numTiles,
      nextTask: 0,
    });
    this.#kernel.storeKeysAndValues(header, this.#stepHeader);
    return { output: places[7], tasks: numTiles * shape.numKvHeads };
  }

  copyBlock(from: number, to: number): void {
    for (const { region, bytes } of this.pages()) {
      const block = bytes / this.#config.numBlocks;
      this.arena.bytes(region, bytes).copyWithin(to * block, from * block, (from + 1) * block);
    }
  }

  /** Every region of pages: where it begins and how long it is. */
  *pages(): Generator<{ readonly region: number; readonly bytes: number }> {
    for (const { shape, places } of this.#layers) {
      for (const name of PAGES) {
        const bytes = name.endsWith('Pages')
          ? pageBytes(shape, this.#config)
          : scaleBytes(shape, this.#config);
        if (bytes > 0) yield { region: places[name], bytes };
      }
    }
  }

  #placeLayer(shape: AttentionShape): {
    shape: AttentionShape;
    places: LayerPlaces;
    header: number;
  } {
    const { arena } = this;
    const config = this.#config;
    const optional = (values: Float32Array | null | undefined): number =>
      values ? arena.store(values) : 0;
    const pages = pageBytes(shape, config);
    const scales = scaleBytes(shape, config);
    const places: LayerPlaces = {
      keyPages: arena.allocate(pages),
      valuePages: arena.allocate(pages),
      keyScales: arena.allocate(scales),
      valueScales: arena.allocate(scales),
      sinks: optional(shape.sinks),
      alibi: optional(shape.alibiSlopes),
      cos: optional(shape.rotary?.cos),
      sin: optional(shape.rotary?.sin),
    };
    const header = arena.allocate(HEADER_BYTES);
    writeLayerHeader(arena.memory, header, shape, places, config.blockSize, config.kvDtype);
    return { shape, places, header };
  }

  /** Places for the step's arrays, in a region that is reused from step to step and grows with the largest. */
  #placeStep(sizes: readonly number[]): number[] {
    const padded = sizes.map((size) => Math.ceil(size / 64) * 64);
    const total = padded.reduce((a, b) => a + b, 0);
    if (total > this.#step.bytes) {
      this.#step = { start: this.arena.allocate(2 * total), bytes: 2 * total };
    }
    let next = this.#step.start;
    return padded.map((size) => {
      const place = next;
      next += size;
      return place;
    });
  }
}

/** Memory that one thread works in; laid out by `attend` in assembly/attend.ts. */
function scratchBytes(shape: AttentionShape, blockSize: number): number {
  const rows = maxRows(shape.numHeads / shape.numKvHeads);
  const tileTokens = Math.max(1, Math.floor(64 / blockSize)) * blockSize;
  const floats =
    2 * rows * shape.headSize +
    rows * tileTokens +
    2 * rows +
    2 * tileTokens +
    blockSize * shape.headSize;
  return floats * 4 + 64;
}
