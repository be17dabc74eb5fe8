import type { AttentionBatch } from '../paged-attention.js';
import type { ContextCuts } from './context-cuts.js';
import { type QueryTile, queryTiles, ROWS_PER_TASK } from './query-tiles.js';
import { type SharedRun, sharedRuns } from './shared-runs.js';
import { type Part, TaskParts } from './task-parts.js';

/** A tile is cut when it is more than this share of what one thread has to do. */
const LARGEST_SHARE = 1 / 4;

/** What a layer's plan depends on, besides the batch. */
export interface PlanShape {
  /** Query heads of a KV head. */
  readonly group: number;
  readonly numKvHeads: number;
  readonly slidingWindow: number;
  /** Cache group of its block tables. */
  readonly cacheGroup: number;
}

export interface PlanLimits {
  readonly cuts: ContextCuts;
  readonly threads: number;
  /** States of rows that there is room for. */
  readonly maxStates: number;
  /** False: no sequence shares; what a selector chooses differs between them. */
  readonly shares: boolean;
}

/** The tasks of a layer's attention, as assembly/plan-layout.ts describes them. */
export interface AttentionPlan {
  /** Whose block tables it is for. */
  readonly cacheGroup: number;
  readonly tiles: Int32Array;
  readonly spans: Int32Array;
  /** Each for one KV head; the most expensive first, so that no thread has one left at last. */
  readonly tasks: Int32Array;
  readonly taskTiles: Int32Array;
  /** `[tiles, numKvHeads]`: parts that a tile waits for. */
  readonly pending: Int32Array;
  readonly numTasks: number;
  readonly numStates: number;
}

export const WORDS_PER_TASK = 6;
const NO_SPANS = -1;

/**
 * Plans the tasks of one layer. Which tasks there are changes no bit of the result: they only say
 * which thread computes which span of a context (Dao et al. 2023, Flash-Decoding), and for which
 * rows at once.
 */
export function planAttention(
  batch: AttentionBatch,
  shape: PlanShape,
  { cuts, threads, maxStates, shares }: PlanLimits,
): AttentionPlan {
  const { group, numKvHeads, slidingWindow, cacheGroup } = shape;
  const tiles = queryTiles(batch, group, slidingWindow, cuts.blockSize);
  const parts = new TaskParts(tiles, cuts, numKvHeads, maxStates);
  if (shares) {
    const { starts, blocks } = batch.blockTables[cacheGroup];
    const sharers = tiles.flatMap((tile, index) => {
      const { sequence } = tile;
      const past = batch.contextLengths[sequence] - tile.count;
      const wholeTiles = Math.floor(past / cuts.blockSize / cuts.blocksPerTile);
      return mayShare(tile) ? [{ tile: index, table: starts[sequence], tiles: wholeTiles }] : [];
    });
    for (const run of sharedRuns(sharers, blocks, cuts)) addRun(parts, run, tiles, cuts);
  }
  const work = tiles.reduce((sum, tile) => sum + costOf(tile), 0) * numKvHeads;
  const largest = threads > 1 ? (LARGEST_SHARE * work) / threads : work;
  for (const [index, tile] of tiles.entries()) {
    const isLarge = costOf(tile) > largest && tile.numBlocks - tile.firstBlock > cuts.blocksPerSpan;
    if (isLarge || parts.spansOf(index)) parts.cut(index);
  }
  return toPlan(tiles, parts, shape);
}

/**
 * Whether a tile's rows may be computed beside those of other sequences: the whole past is seen by
 * all of its queries, and they alone are too few to make the most of each page.
 */
function mayShare({ isWhole, rows, firstBlock }: QueryTile): boolean {
  return isWhole && firstBlock === 0 && 2 * rows <= ROWS_PER_TASK;
}

const costOf = ({ rows, firstBlock, numBlocks }: QueryTile): number =>
  rows * (numBlocks - firstBlock);

/** Distributes the rows of a run evenly over as few tasks as can hold them. */
function addRun(
  parts: TaskParts,
  { sharers, begin, end }: SharedRun,
  tiles: readonly QueryTile[],
  { blocksPerTile }: ContextCuts,
): void {
  const groups: number[][] = [];
  let rest = sharers.reduce((sum, { tile }) => sum + tiles[tile].rows, 0);
  for (let first = 0; first < sharers.length; ) {
    const fair = rest / Math.ceil(rest / ROWS_PER_TASK);
    const taken: number[] = [];
    let rows = 0;
    for (const { tile } of sharers.slice(first)) {
      const more = rows + tiles[tile].rows;
      // A task ends where it comes closest to its fair share.
      if (more > ROWS_PER_TASK || (rows > 0 && more - fair > fair - rows)) break;
      taken.push(tile);
      rows = more;
    }
    groups.push(taken);
    first += taken.length;
    rest -= rows;
  }
  parts.add(groups, begin * blocksPerTile, end * blocksPerTile);
}

function toPlan(
  tiles: readonly QueryTile[],
  parts: TaskParts,
  { numKvHeads, cacheGroup }: PlanShape,
): AttentionPlan {
  const runs = parts.runs.map((run) => {
    const [{ rows, begin, end }] = run;
    return { run, cost: rows * (end - begin) };
  });
  const tileWords: number[] = [];
  const spanWords: number[] = [];
  for (const [index, tile] of tiles.entries()) {
    const spans = parts.spansOf(index);
    tileWords.push(tile.sequence, tile.first, tile.count, spans ? spanWords.length / 3 : NO_SPANS);
    for (const { done, states, rows } of spans ?? []) spanWords.push(done, states, rows);
    if (spans) continue;
    const whole = { tiles: [index], rows: tile.rows, begin: 0, end: 0, states: 0 };
    runs.push({ run: [whole], cost: costOf(tile) });
  }
  runs.sort((a, b) => b.cost - a.cost);
  return {
    cacheGroup,
    tiles: Int32Array.from(tileWords),
    spans: Int32Array.from(spanWords),
    ...toTasks(
      runs.map(({ run }) => run),
      numKvHeads,
    ),
    pending: pendingOf(parts, tiles.length, numKvHeads),
    numStates: parts.numStates,
  };
}

/** Tasks over the same pages follow one another: these are then in the processor's cache. */
function toTasks(
  runs: readonly (readonly Part[])[],
  numKvHeads: number,
): Pick<AttentionPlan, 'tasks' | 'taskTiles' | 'numTasks'> {
  const numTasks = runs.reduce((sum, run) => sum + run.length, 0) * numKvHeads;
  const tasks = new Int32Array(numTasks * WORDS_PER_TASK);
  const taskTiles: number[] = [];
  let at = 0;
  for (const run of runs) {
    const firsts = run.map(({ tiles }) => taskTiles.push(...tiles) - tiles.length);
    for (let head = 0; head < numKvHeads; head++) {
      for (const [i, { tiles, begin, end, states, rows }] of run.entries()) {
        tasks[at++] = firsts[i];
        tasks[at++] = tiles.length;
        tasks[at++] = head;
        tasks[at++] = begin;
        tasks[at++] = end;
        tasks[at++] = states + head * rows;
      }
    }
  }
  return { tasks, taskTiles: Int32Array.from(taskTiles), numTasks };
}

function pendingOf({ runs }: TaskParts, numTiles: number, numKvHeads: number): Int32Array {
  const pending = new Int32Array(numTiles * numKvHeads);
  for (const run of runs) {
    for (const { tiles } of run) {
      for (const tile of tiles) {
        for (let head = 0; head < numKvHeads; head++) pending[tile * numKvHeads + head]++;
      }
    }
  }
  return pending;
}
