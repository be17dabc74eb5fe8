import { partWidths } from '../packed-rows.js';
import type { PagedAttentionConfig } from '../page-layout.js';
import type { AttentionBatch, AttentionShape } from '../paged-attention.js';
import { Arena } from './arena.js';
import type { AttentionPlanner } from './attention-planner.js';
import { contextCuts } from './context-cuts.js';
import {
  HEADER_BYTES,
  type LayerInputs,
  type LayerPlaces,
  setInputs,
  writeLayerHeader,
} from './headers.js';
import { pageBytes, pageScaleBytes, scratchBytes } from './memory-bytes.js';
import { instantiateKernel, type KernelExports } from './module.js';
import { type PlacedPlan, type PlacedStep, StepArrays } from './step-arrays.js';

/** A layer, its slot in its memory, and its cache group. */
export interface PlacedLayer {
  readonly layer: number;
  readonly shape: AttentionShape;
  readonly slot: number;
  readonly group: number;
}

/** Offsets of a slot's pages and of their scales. */
type SlotPlaces = Readonly<Record<(typeof REGIONS)[number], number>>;

/** A layer's tasks, ready to be taken: where their headers are, and where they write. */
export interface PreparedTasks {
  readonly output: number;
  readonly layerHeader: number;
  readonly stepHeader: number;
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
  /** Offsets of tables that several layers may have. */
  readonly #tables = new Map<Float32Array, number>();
  readonly #layers: ReadonlyMap<number, PlacedLayer & { readonly header: number }>;
  readonly #planner: AttentionPlanner;
  readonly #kernel: KernelExports;
  readonly #stepHeader: number;
  readonly #stepWords: Uint32Array;
  readonly #scratch: readonly number[];
  readonly #steps: StepArrays;
  #step: PlacedStep | null = null;

  constructor(
    module: WebAssembly.Module,
    config: PagedAttentionConfig,
    layers: readonly PlacedLayer[],
    planner: AttentionPlanner,
  ) {
    this.#config = config;
    this.#planner = planner;
    this.#layers = new Map(
      layers.map((placed) => [placed.layer, { ...placed, header: this.#placeLayer(placed) }]),
    );
    const shapes = layers.map(({ shape }) => shape);
    this.#steps = new StepArrays(this.arena, shapes, config.selector !== undefined);
    this.#stepHeader = this.arena.allocate(HEADER_BYTES);
    this.#stepWords = new Uint32Array(this.arena.memory.buffer, this.#stepHeader, HEADER_BYTES / 4);
    const cuts = contextCuts(config.blockSize);
    const scratch = Math.max(...shapes.map((shape) => scratchBytes(shape, cuts)));
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
    const inputs = this.#inputs(layer, batch);
    this.arena.floats(inputs.key, key.length).set(key);
    this.arena.floats(inputs.value, value.length).set(value);
    this.#kernel.storeKeysAndValues(...this.#headers(layer, batch, inputs));
  }

  /** Takes the queries of a layer in. @returns where they lie, for `prepare` */
  load(layer: number, batch: AttentionBatch, query: Float32Array): LayerInputs {
    const inputs = this.#inputs(layer, batch);
    this.arena.floats(inputs.query, query.length).set(query);
    return inputs;
  }

  /** `store` and `load` for rows of Q, K and V side by side: they are copied as they are. */
  loadPacked(layer: number, batch: AttentionBatch, packed: Float32Array): LayerInputs {
    const inputs = this.#packedInputs(layer, batch);
    this.arena.floats(inputs.query, packed.length).set(packed);
    this.#kernel.storeKeysAndValues(...this.#headers(layer, batch, inputs));
    return inputs;
  }

  numTasks(layer: number, batch: AttentionBatch): number {
    return this.#placedPlan(layer, batch).plan.numTasks;
  }

  /**
   * Prepares the attention's tasks, for threads to take.
   *
   * @param inputs of `load` or `loadPacked`
   * @param selection pages to read; null: all
   */
  prepare(
    layer: number,
    batch: AttentionBatch,
    inputs: LayerInputs,
    selection: Uint8Array | null,
  ): PreparedTasks {
    const { places, selection: selectionPlace } = this.#placedStep(batch);
    if (selection) this.arena.bytes(selectionPlace, selection.length).set(selection);
    const [layerHeader, stepHeader] = this.#headers(
      layer,
      batch,
      selection ? { ...inputs, selection: selectionPlace } : inputs,
    );
    const { plan, pending } = this.#placedPlan(layer, batch);
    if (plan.numStates > 0) this.arena.ints(pending, plan.pending.length).set(plan.pending);
    return { output: places.output, layerHeader, stepHeader };
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
    if (this.#step?.batch !== batch) {
      this.#step = this.#steps.place(batch, this.#planner.plans(batch));
    }
    return this.#step;
  }

  #placedPlan(layer: number, batch: AttentionBatch): PlacedPlan {
    return this.#placedStep(batch).plans[this.#planner.planOf(layer)];
  }

  /** Q, K and V one behind the other. */
  #inputs(layer: number, batch: AttentionBatch): LayerInputs {
    const [ofQuery, ofKey] = partWidths(this.#layer(layer).shape);
    const tokens = batch.queryStarts[batch.numSequences];
    const query = this.#placedStep(batch).places.inputs;
    const key = query + 4 * tokens * ofQuery;
    return { query, key, value: key + 4 * tokens * ofKey, tokenBytes: 0, selection: 0 };
  }

  /** Rows of Q, K and V side by side. */
  #packedInputs(layer: number, batch: AttentionBatch): LayerInputs {
    const [ofQuery, ofKey, ofValue] = partWidths(this.#layer(layer).shape);
    const query = this.#placedStep(batch).places.inputs;
    const key = query + 4 * ofQuery;
    const tokenBytes = 4 * (ofQuery + ofKey + ofValue);
    return { query, key, value: key + 4 * ofKey, tokenBytes, selection: 0 };
  }

  /** Writes the step's header for a layer. */
  #headers(
    layer: number,
    batch: AttentionBatch,
    inputs: LayerInputs,
  ): readonly [layer: number, step: number] {
    this.#stepWords.set(this.#placedPlan(layer, batch).header);
    setInputs(this.#stepWords, inputs);
    return [this.#layer(layer).header, this.#stepHeader];
  }

  /** @returns offset of its header */
  #placeLayer({ shape, slot }: PlacedLayer): number {
    const { arena } = this;
    const config = this.#config;
    const optional = (values: Float32Array | null): number => (values ? arena.store(values) : 0);
    const table = (values: Float32Array | undefined): number => {
      if (!values) return 0;
      const place = this.#tables.get(values) ?? arena.store(values);
      this.#tables.set(values, place);
      return place;
    };
    let pages = this.#slots.get(slot);
    if (!pages) {
      pages = { shape, places: this.#placePages(shape) };
      this.#slots.set(slot, pages);
    }
    const places: LayerPlaces = {
      ...pages.places,
      sinks: optional(shape.sinks),
      alibi: optional(shape.alibiSlopes),
      cos: table(shape.rotary?.cos),
      sin: table(shape.rotary?.sin),
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
}
