import {
  type AttentionBatch,
  type AttentionLayer,
  type AttentionShape,
  ELEMENT_BYTES,
  type PagedAttentionConfig,
  scaleBytes,
} from '../paged-attention.js';
import { Arena } from './arena.js';
import { HEADER_BYTES, type LayerPlaces, writeLayerHeader, writeStepHeader } from './headers.js';
import { instantiateKernel, type KernelExports } from './module.js';
import { maxRows, queryTiles, WORDS_PER_TILE } from './query-tiles.js';

/** Bytes of K pages, or of V pages, of one layer, without scales. */
export function pageBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  const numbers = config.numBlocks * config.blockSize * shape.numKvHeads * shape.headSize;
  return numbers * ELEMENT_BYTES[config.kvDtype];
}

/** Bytes of the scales of those pages. */
function pageScaleBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  return config.numBlocks * config.blockSize * shape.numKvHeads * scaleBytes(config.kvDtype);
}

/** All that a layer with pages of its own keeps in its memory for good. */
export function layerBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  const rotary = shape.rotary ? 2 * shape.rotary.cos.byteLength : 0;
  return 2 * (pageBytes(shape, config) + pageScaleBytes(shape, config)) + rotary + 64 * 1024;
}

/** A step's arrays in the group's memory. */
interface PlacedStep {
  readonly batch: AttentionBatch;
  readonly places: Readonly<
    Record<
      'queryStarts' | 'contextLengths' | 'blockTables' | 'query' | 'key' | 'value' | 'output',
      number
    >
  >;
  /** By size of the query groups. */
  readonly tiles: ReadonlyMap<number, { readonly place: number; readonly count: number }>;
}

interface PlacedLayer {
  readonly shape: AttentionLayer;
  readonly places: LayerPlaces;
  readonly header: number;
}

/** Names of a region of pages within a layer. */
const PAGES = ['keyPages', 'valuePages', 'keyScales', 'valueScales'] as const;

/**
 * Layers that share one wasm memory, and an instance of the kernel over it. A pool larger than 4 GiB is spread over several groups.
 */
export class LayerGroup {
  readonly arena = new Arena();
  /** By their index in the model, ascending. */
  readonly layers: readonly number[];
  readonly #config: PagedAttentionConfig;
  readonly #placed = new Map<number, PlacedLayer>();
  readonly #kernel: KernelExports;
  readonly #stepHeader: number;
  readonly #scratch: readonly number[];
  #stepRegion = { start: 0, bytes: 0 };
  #step: PlacedStep | null = null;

  constructor(module: WebAssembly.Module, config: PagedAttentionConfig, layers: readonly number[]) {
    this.#config = config;
    this.layers = layers;
    const shapes = layers.map((layer) => config.layers[layer]);
    for (const layer of layers) this.#placed.set(layer, this.#placeLayer(config.layers[layer]));
    this.#stepHeader = this.arena.allocate(HEADER_BYTES);
    const scratch = Math.max(...shapes.map((shape) => scratchBytes(shape, config.blockSize)));
    this.#scratch = Array.from({ length: config.threads }, () => this.arena.allocate(scratch));
    this.#kernel = instantiateKernel(module, this.arena.memory);
  }

  /** What a helper thread needs to take part in a layer's tasks. */
  task(layer: number, thread: number): readonly [layer: number, step: number, scratch: number] {
    return [this.#layer(layer).header, this.#stepHeader, this.#scratch[thread]];
  }

  get kernel(): KernelExports {
    return this.#kernel;
  }

  /** Writes K and V of a layer into the pages, if it has some, and leaves the attention's tasks ready to be taken. */
  prepare(
    layer: number,
    batch: AttentionBatch,
    query: Float32Array,
    key: Float32Array | null,
    value: Float32Array | null,
  ): { readonly output: number; readonly tasks: number } {
    const { shape, header } = this.#layer(layer);
    if (this.#step?.batch !== batch) this.#step = this.#placeStep(batch);
    const { places } = this.#step;
    const tiles = this.#step.tiles.get(groupSize(shape)) ?? { place: 0, count: 0 };
    this.arena.floats(places.query, query.length).set(query);
    if (key && value) {
      this.arena.floats(places.key, key.length).set(key);
      this.arena.floats(places.value, value.length).set(value);
    }
    writeStepHeader(this.arena.memory, this.#stepHeader, {
      ...places,
      tableStride: batch.blockTableStride,
      numSequences: batch.numSequences,
      tiles: tiles.place,
      numTiles: tiles.count,
      nextTask: 0,
    });
    if (key && value) this.#kernel.storeKeysAndValues(header, this.#stepHeader);
    return { output: places.output, tasks: tiles.count * shape.numKvHeads };
  }

  copyBlock(from: number, to: number): void {
    for (const { region, bytes } of this.pages()) {
      const block = bytes / this.#config.numBlocks;
      this.arena.bytes(region, bytes).copyWithin(to * block, from * block, (from + 1) * block);
    }
  }

  /** Every region of pages: where it begins and how long it is. */
  *pages(): Generator<{ readonly region: number; readonly bytes: number }> {
    for (const { shape, places } of this.#placed.values()) {
      if (shape.pagesOf !== undefined) continue;
      for (const name of PAGES) {
        const bytes = name.endsWith('Pages')
          ? pageBytes(shape, this.#config)
          : pageScaleBytes(shape, this.#config);
        if (bytes > 0) yield { region: places[name], bytes };
      }
    }
  }

  #layer(index: number): PlacedLayer {
    const layer = this.#placed.get(index);
    if (!layer) throw new Error(`layer ${index} is of another group`);
    return layer;
  }

  #placeLayer(shape: AttentionLayer): PlacedLayer {
    const { arena } = this;
    const config = this.#config;
    const optional = (values: Float32Array | null | undefined): number =>
      values ? arena.store(values) : 0;
    const pages = pageBytes(shape, config);
    const scales = pageScaleBytes(shape, config);
    const own = (): Pick<LayerPlaces, (typeof PAGES)[number]> => ({
      keyPages: arena.allocate(pages),
      valuePages: arena.allocate(pages),
      keyScales: arena.allocate(scales),
      valueScales: arena.allocate(scales),
    });
    const places: LayerPlaces = {
      ...(shape.pagesOf === undefined ? own() : this.#layer(shape.pagesOf).places),
      sinks: optional(shape.sinks),
      alibi: optional(shape.alibiSlopes),
      cos: optional(shape.rotary?.cos),
      sin: optional(shape.rotary?.sin),
    };
    const header = arena.allocate(HEADER_BYTES);
    writeLayerHeader(arena.memory, header, shape, places, config.blockSize, config.kvDtype);
    return { shape, places, header };
  }

  /** Copies what all layers of a step share, once, and finds room for what each of them brings. */
  #placeStep(batch: AttentionBatch): PlacedStep {
    const tokens = batch.queryStarts[batch.numSequences];
    const widest = (heads: (shape: AttentionShape) => number): number =>
      tokens *
      4 *
      Math.max(...[...this.#placed.values()].map(({ shape }) => heads(shape) * shape.headSize));
    const groups = [...new Set([...this.#placed.values()].map(({ shape }) => groupSize(shape)))];
    const tiles = groups.map((group) => queryTiles(batch, group));
    const arrays = [
      batch.queryStarts.subarray(0, batch.numSequences + 1),
      batch.contextLengths.subarray(0, batch.numSequences),
      batch.blockTables.subarray(0, batch.numSequences * batch.blockTableStride),
      ...tiles,
    ];
    const queries = widest((shape) => shape.numHeads);
    const keys = widest((shape) => shape.numKvHeads);
    const sizes = [...arrays.map((array) => array.byteLength), queries, keys, keys, queries];
    const at = this.#stepPlaces(sizes);
    arrays.forEach((array, i) => this.arena.ints(at[i], array.length).set(array));
    const [query, key, value, output] = at.slice(arrays.length);
    const [queryStarts, contextLengths, blockTables, ...tilePlaces] = at;
    return {
      batch,
      places: { queryStarts, contextLengths, blockTables, query, key, value, output },
      tiles: new Map(
        groups.map((group, i) => [
          group,
          { place: tilePlaces[i], count: tiles[i].length / WORDS_PER_TILE },
        ]),
      ),
    };
  }

  /** Places in a region that is reused from step to step and grows with the largest. */
  #stepPlaces(sizes: readonly number[]): number[] {
    const padded = sizes.map((size) => Math.ceil(size / 64) * 64);
    const total = padded.reduce((a, b) => a + b, 0);
    if (total > this.#stepRegion.bytes) {
      this.#stepRegion = { start: this.arena.allocate(2 * total), bytes: 2 * total };
    }
    let next = this.#stepRegion.start;
    return padded.map((size) => {
      const place = next;
      next += size;
      return place;
    });
  }
}

/** Query heads that share a KV head. */
function groupSize(shape: AttentionShape): number {
  return shape.numHeads / shape.numKvHeads;
}

/** Memory that one thread works in; laid out by `attend` in assembly/attend.ts. */
function scratchBytes(shape: AttentionShape, blockSize: number): number {
  const rows = maxRows(groupSize(shape));
  const tileBlocks = Math.max(1, Math.floor(128 / blockSize));
  const tileTokens = tileBlocks * blockSize;
  // A block of float32, or a tile of int16.
  const wide = Math.max(blockSize, tileTokens / 2) * shape.headSize;
  const words =
    2 * rows * shape.headSize + rows * tileTokens + 4 * rows + tileTokens + tileBlocks + wide;
  return words * 4 + 64;
}
