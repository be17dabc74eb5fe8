import type { ContextCuts } from './context-cuts.js';
import type { QueryTile } from './query-tiles.js';

/** Blocks of one span that a task computes for the rows of some query tiles. */
export interface Part {
  /** Indices of the tiles. */
  readonly tiles: readonly number[];
  readonly rows: number;
  readonly begin: number;
  /** 0: all of its one tile, up to the output. */
  readonly end: number;
  /** Index of the state of its first row for KV head 0; those of other heads follow. */
  readonly states: number;
}

/** What a tile finds of one of its spans. */
export interface ComputedSpan {
  /** The block before which a part has computed it; 0: none has. */
  readonly done: number;
  /** Index of the state of the tile's first row for KV head 0. */
  readonly states: number;
  /** Rows of the part: so many states further are those for the next KV head. */
  readonly rows: number;
}

const NOT_COMPUTED: ComputedSpan = { done: 0, states: 0, rows: 0 };

/** Collects the parts into which contexts are cut, and where their states lie. */
export class TaskParts {
  /** Parts over the same blocks. */
  readonly runs: Part[][] = [];
  readonly #tiles: readonly QueryTile[];
  readonly #blocksPerSpan: number;
  readonly #numKvHeads: number;
  readonly #maxStates: number;
  readonly #spans: (ComputedSpan[] | undefined)[] = [];
  #numStates = 0;

  /** @param maxStates states that there is room for; what needs more is not cut */
  constructor(
    tiles: readonly QueryTile[],
    cuts: ContextCuts,
    numKvHeads: number,
    maxStates: number,
  ) {
    this.#tiles = tiles;
    this.#blocksPerSpan = cuts.blocksPerSpan;
    this.#numKvHeads = numKvHeads;
    this.#maxStates = maxStates;
  }

  get numStates(): number {
    return this.#numStates;
  }

  /** The spans of a tile that parts compute; undefined when none does. */
  spansOf(tile: number): readonly ComputedSpan[] | undefined {
    return this.#spans[tile];
  }

  /**
   * Adds parts over the same blocks, each for several tiles. None of the tiles has another part in
   * this span.
   */
  add(groups: readonly (readonly number[])[], begin: number, end: number): void {
    const run: Part[] = [];
    for (const tiles of groups) {
      const rows = tiles.reduce((sum, tile) => sum + this.#tiles[tile].rows, 0);
      const states = this.#numStates;
      if (states + rows * this.#numKvHeads > this.#maxStates) break;
      this.#numStates += rows * this.#numKvHeads;
      run.push({ tiles, rows, begin, end, states });
      this.#note(tiles, begin, { done: end, states, rows });
    }
    if (run.length > 0) this.runs.push(run);
  }

  #note(tiles: readonly number[], begin: number, span: ComputedSpan): void {
    let { states } = span;
    for (const tile of tiles) {
      const { firstBlock, numBlocks, rows } = this.#tiles[tile];
      const first = Math.floor(firstBlock / this.#blocksPerSpan);
      const numSpans = Math.floor((numBlocks - 1) / this.#blocksPerSpan) + 1 - first;
      const spans = (this.#spans[tile] ??= Array.from({ length: numSpans }, () => NOT_COMPUTED));
      spans[Math.floor(begin / this.#blocksPerSpan) - first] = { ...span, states };
      states += rows;
    }
  }

  /** Adds a part for each span of a tile that has none yet. */
  cut(tile: number): void {
    const { firstBlock, numBlocks } = this.#tiles[tile];
    const first = Math.floor(firstBlock / this.#blocksPerSpan);
    for (let begin = firstBlock, span = first; begin < numBlocks; span++) {
      const end = Math.min((span + 1) * this.#blocksPerSpan, numBlocks);
      if (!this.#spans[tile]?.[span - first].done) this.add([[tile]], begin, end);
      begin = end;
    }
  }
}
