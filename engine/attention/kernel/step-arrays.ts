import type { AttentionBatch, AttentionShape, BlockTables } from '../paged-attention.js';
import { type Arena, StepRegion } from './arena.js';
import { queryTiles, WORDS_PER_TILE } from './query-tiles.js';

/** Where a step's arrays are in a memory. */
export interface PlacedStep {
  readonly batch: AttentionBatch;
  readonly places: Readonly<
    Record<
      'queryStarts' | 'contextLengths' | 'lastSeen' | 'query' | 'key' | 'value' | 'output',
      number
    >
  >;
  /** Room for what a selector chooses of the largest tables; no room without a selector. */
  readonly selection: number;
  /** By cache group. */
  readonly tables: readonly { readonly tableStarts: number; readonly blockTables: number }[];
  /** By the number of query heads in a group. */
  readonly tiles: ReadonlyMap<number, { readonly place: number; readonly count: number }>;
}

const NOTHING = new Int32Array(0);

/** Query heads that share a KV head. */
export function groupSize(shape: AttentionShape): number {
  return shape.numHeads / shape.numKvHeads;
}

/** Copies a step's arrays into one memory. */
export class StepArrays {
  readonly #arena: Arena;
  readonly #shapes: readonly AttentionShape[];
  readonly #selects: boolean;
  readonly #region: StepRegion;

  /**
   * @param shapes of the layers with pages in this memory
   * @param selects whether there is a selector of pages
   */
  constructor(arena: Arena, shapes: readonly AttentionShape[], selects: boolean) {
    this.#arena = arena;
    this.#region = new StepRegion(arena);
    this.#shapes = shapes;
    this.#selects = selects;
  }

  /**
   * Copies once what all layers of a step share, and reserves space for what is copied for each
   * layer.
   */
  place(batch: AttentionBatch): PlacedStep {
    const shapes = this.#shapes;
    const tokens = batch.queryStarts[batch.numSequences];
    const widest = (heads: (shape: AttentionShape) => number): number =>
      tokens * 4 * Math.max(...shapes.map((shape) => heads(shape) * shape.headSize));
    const sizes = [...new Set(shapes.map(groupSize))];
    const tiles = sizes.map((size) => queryTiles(batch, size));
    const tables = batch.blockTables.flatMap(({ starts, blocks }: BlockTables) => [starts, blocks]);
    const arrays = [
      batch.queryStarts.subarray(0, batch.numSequences + 1),
      batch.contextLengths.subarray(0, batch.numSequences),
      batch.lastSeen?.subarray(0, tokens) ?? NOTHING,
      ...tables,
      ...tiles,
    ];
    const queries = widest((shape) => shape.numHeads);
    const keys = widest((shape) => shape.numKvHeads);
    const at = this.#region.place([
      ...arrays.map((array) => array.byteLength),
      queries,
      keys,
      keys,
      queries,
      this.#selects ? Math.max(...batch.blockTables.map(({ blocks }) => blocks.length)) : 0,
    ]);
    arrays.forEach((array, i) => this.#arena.ints(at[i], array.length).set(array));
    const [query, key, value, output, selection] = at.slice(arrays.length);
    const [queryStarts, contextLengths, ofQueries] = at;
    const lastSeen = batch.lastSeen ? ofQueries : 0;
    const firstTable = 3;
    const firstTile = firstTable + tables.length;
    return {
      batch,
      places: { queryStarts, contextLengths, lastSeen, query, key, value, output },
      selection,
      tables: batch.blockTables.map((_, group) => ({
        tableStarts: at[firstTable + 2 * group],
        blockTables: at[firstTable + 1 + 2 * group],
      })),
      tiles: new Map(
        sizes.map((size, i) => [
          size,
          { place: at[firstTile + i], count: tiles[i].length / WORDS_PER_TILE },
        ]),
      ),
    };
  }
}
