import type { PagedAttentionConfig } from '../page-layout.js';
import {
  type AttentionBatch,
  type AttentionShape,
  type BlockTables,
  ELEMENT_BYTES,
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

/** Bytes that a slot permanently occupies in its memory. */
export function slotBytes(shape: AttentionShape, config: PagedAttentionConfig): number {
  return 2 * (pageBytes(shape, config) + pageScaleBytes(shape, config)) + 64 * 1024;
}

/** Bytes that a layer permanently occupies in its memory, besides its pages. */
export function layerBytes(shape: AttentionShape): number {
  return shape.rotary ? 2 * shape.rotary.cos.byteLength : 0;
}

/** A layer, its slot in its memory, and its cache group. */
export interface PlacedLayer {
  readonly layer: number;
  readonly shape: AttentionShape;
  readonly slot: number;
  readonly group: number;
}

/** Offsets of a slot's pages and of their scales. */
type SlotPlaces = Readonly<Record<(typeof REGIONS)[number], number>>;

/** A step's arrays in this memory. */
interface PlacedStep {
  readonly batch: AttentionBatch;
  readonly places: Readonly<
    Record<'queryStarts' | 'contextLengths' | 'query' | 'key' | 'value' | 'output', number>
  >;
  /** Room for what a selector chooses of the largest tables; no room without a selector. */
  readonly selection: number;
  /** By cache group. */
  readonly tables: readonly { readonly tableStarts: number; readonly blockTables: number }[];
  /** By the number of query heads in a group. */
  readonly tiles: ReadonlyMap<number, { readonly place: number; readonly count: number }>;
}

/** Regions of a slot. */
const REGIONS = ['keyPages', 'valuePages', 'keyScales', 'valueScales'] as const;

/**
 * Pages of several slots in one wasm memory, the layers that use them, and an instance of the
 * kernel on this memory. A pool larger than 4 GiB is spread over several memories.
 */
export class PageMemory {
  readonly arena = new Arena();
  readonly #config: PagedAttentionConfig;
  /**
   * By slot: the shape of any of its layers, as all have pages of the same size, and the offsets of
   * the pages.
   */
  readonly #slots = new Map<number, { shape: AttentionShape; places: SlotPlaces }>();
  readonly #layers: ReadonlyMap<number, PlacedLayer & { readonly header: number }>;
  readonly #kernel: KernelExports;
  readonly #stepHeader: number;
  readonly #scratch: readonly number[];
  #stepRegion = { start: 0, bytes: 0 };
  #step: PlacedStep | null = null;

  constructor(
    module: WebAssembly.Module,
    config: PagedAttentionConfig,
    layers: readonly PlacedLayer[],
  ) {
    this.#config = config;
    this.#layers = new Map(
      layers.map((placed) => [placed.layer, { ...placed, header: this.#placeLayer(placed) }]),
    );
    this.#stepHeader = this.arena.allocate(HEADER_BYTES);
    const scratch = Math.max(...layers.map(({ shape }) => scratchBytes(shape, config.blockSize)));
    this.#scratch = Array.from({ length: config.threads }, () => this.arena.allocate(scratch));
    this.#kernel = instantiateKernel(module, this.arena.memory);
  }

  /** Byte offset of a thread's own memory. */
  scratch(thread: number): number {
    return this.#scratch[thread];
  }

  get kernel(): KernelExports {
    return this.#kernel;
  }

  /** Writes K and V of a layer into the pages. */
  store(layer: number, batch: AttentionBatch, key: Float32Array, value: Float32Array): void {
    const { places } = this.#placedStep(batch);
    this.arena.floats(places.key, key.length).set(key);
    this.arena.floats(places.value, value.length).set(value);
    this.#kernel.storeKeysAndValues(...this.#headers(layer, batch));
  }

  /**
   * Prepares the attention's tasks, for threads to take.
   *
   * @param selection pages to read; null: all
   */
  prepare(
    layer: number,
    batch: AttentionBatch,
    query: Float32Array,
    selection: Uint8Array | null,
  ): {
    readonly output: number;
    readonly tasks: number;
    readonly layerHeader: number;
    readonly stepHeader: number;
  } {
    const { places, tiles, selection: selectionPlace } = this.#placedStep(batch);
    this.arena.floats(places.query, query.length).set(query);
    if (selection) this.arena.bytes(selectionPlace, selection.length).set(selection);
    const [layerHeader, stepHeader] = this.#headers(layer, batch, selection ? selectionPlace : 0);
    const { shape } = this.#layer(layer);
    const tasks = (tiles.get(groupSize(shape))?.count ?? 0) * shape.numKvHeads;
    return { output: places.output, tasks, layerHeader, stepHeader };
  }

  /**
   * Begin and size of every region of pages. Each region consists of equal parts for all blocks, in
   * the order of their ids.
   */
  *regions(): Generator<{ readonly start: number; readonly bytes: number }> {
    for (const { shape, places } of this.#slots.values()) {
      for (const name of REGIONS) {
        const bytes = name.endsWith('Pages')
          ? pageBytes(shape, this.#config)
          : pageScaleBytes(shape, this.#config);
        if (bytes > 0) yield { start: places[name], bytes };
      }
    }
  }

  #layer(layer: number) {
    const placed = this.#layers.get(layer);
    if (!placed) throw new Error(`layer ${layer} has its pages in another memory`);
    return placed;
  }

  #placedStep(batch: AttentionBatch): PlacedStep {
    if (this.#step?.batch !== batch) this.#step = this.#placeStep(batch);
    return this.#step;
  }

  /** Writes the step's header for a layer. @param selection where it lies; 0: all pages are read */
  #headers(
    layer: number,
    batch: AttentionBatch,
    selection = 0,
  ): readonly [layer: number, step: number] {
    const { shape, group, header } = this.#layer(layer);
    const { places, tables, tiles } = this.#placedStep(batch);
    const { place, count } = tiles.get(groupSize(shape)) ?? { place: 0, count: 0 };
    writeStepHeader(this.arena.memory, this.#stepHeader, {
      ...places,
      ...tables[group],
      numSequences: batch.numSequences,
      tiles: place,
      numTiles: count,
      nextTask: 0,
      selection,
    });
    return [header, this.#stepHeader];
  }

  /** @returns offset of its header */
  #placeLayer({ shape, slot }: PlacedLayer): number {
    const { arena } = this;
    const config = this.#config;
    const optional = (values: Float32Array | null | undefined): number =>
      values ? arena.store(values) : 0;
    let pages = this.#slots.get(slot);
    if (!pages) {
      pages = { shape, places: this.#placePages(shape) };
      this.#slots.set(slot, pages);
    }
    const places: LayerPlaces = {
      ...pages.places,
      sinks: optional(shape.sinks),
      alibi: optional(shape.alibiSlopes),
      cos: optional(shape.rotary?.cos),
      sin: optional(shape.rotary?.sin),
    };
    const header = arena.allocate(HEADER_BYTES);
    writeLayerHeader(arena.memory, header, shape, places, config.blockSize, config.kvDtype);
    return header;
  }

  #placePages(shape: AttentionShape): SlotPlaces {
    const pages = pageBytes(shape, this.#config);
    const scales = pageScaleBytes(shape, this.#config);
    return {
      keyPages: this.arena.allocate(pages),
      valuePages: this.arena.allocate(pages),
      keyScales: this.arena.allocate(scales),
      valueScales: this.arena.allocate(scales),
    };
  }

  /**
   * Copies once what all layers of a step share, and reserves space for what is copied for each
   * layer.
   */
  #placeStep(batch: AttentionBatch): PlacedStep {
    const shapes = [...this.#layers.values()].map(({ shape }) => shape);
    const tokens = batch.queryStarts[batch.numSequences];
    const widest = (heads: (shape: AttentionShape) => number): number =>
      tokens * 4 * Math.max(...shapes.map((shape) => heads(shape) * shape.headSize));
    const sizes = [...new Set(shapes.map(groupSize))];
    const tiles = sizes.map((size) => queryTiles(batch, size));
    const tables = batch.blockTables.flatMap(({ starts, blocks }: BlockTables) => [starts, blocks]);
    const arrays = [
      batch.queryStarts.subarray(0, batch.numSequences + 1),
      batch.contextLengths.subarray(0, batch.numSequences),
      ...tables,
      ...tiles,
    ];
    const queries = widest((shape) => shape.numHeads);
    const keys = widest((shape) => shape.numKvHeads);
    const at = this.#stepPlaces([
      ...arrays.map((array) => array.byteLength),
      queries,
      keys,
      keys,
      queries,
      this.#config.selector ? Math.max(...batch.blockTables.map(({ blocks }) => blocks.length)) : 0,
    ]);
    arrays.forEach((array, i) => this.arena.ints(at[i], array.length).set(array));
    const [query, key, value, output, selection] = at.slice(arrays.length);
    const [queryStarts, contextLengths] = at;
    const firstTile = 2 + tables.length;
    return {
      batch,
      places: { queryStarts, contextLengths, query, key, value, output },
      selection,
      tables: batch.blockTables.map((_, group) => ({
        tableStarts: at[2 + 2 * group],
        blockTables: at[3 + 2 * group],
      })),
      tiles: new Map(
        sizes.map((size, i) => [
          size,
          { place: at[firstTile + i], count: tiles[i].length / WORDS_PER_TILE },
        ]),
      ),
    };
  }

  /** Offsets in a region that is reused in every step and grows with the largest step. */
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

/** Bytes of a thread's scratch memory; `attend` in assembly/attend.ts defines its layout. */
function scratchBytes(shape: AttentionShape, blockSize: number): number {
  const rows = maxRows(groupSize(shape));
  const tileBlocks = Math.max(1, Math.floor(128 / blockSize));
  const tileTokens = tileBlocks * blockSize;
  // Space for a block of float32, or a tile of int16.
  const wide = Math.max(blockSize, tileTokens / 2) * shape.headSize;
  const words =
    2 * rows * shape.headSize + rows * tileTokens + 4 * rows + tileTokens + tileBlocks + wide;
  return words * 4 + 64;
}
