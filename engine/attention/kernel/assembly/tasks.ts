import { attend } from './attend';
import {
  LAYER_BLOCK_SIZE, LAYER_HEAD_SIZE, LAYER_NUM_KV_HEADS, STEP_PENDING, STEP_SPANS, STEP_STATES, STEP_TASKS, STEP_TASK_TILES, TILES_PER_SPAN,
} from './layout';
import {
  NO_SPANS, SPAN_BYTES, SPAN_DONE, SPAN_ROWS, SPAN_STATES, TASK_BEGIN, TASK_BYTES, TASK_COUNT, TASK_END, TASK_FIRST,
  TASK_HEAD, TASK_STATES, TILE_NUM_QUERIES, TILE_SPANS,
} from './plan-layout';
import { beginStates, firstPositionOf, firstTokenOf, groupOf, lastPositionOf, loadQueries, storeOutput, tileOf } from './rows';
import { blocksPerTile, placeScratch } from './scratch';
import { addStates, stateBytes } from './states';

/**
 * One task: a part of the context for the rows of several query tiles that share it, or all of the
 * context for one query tile; in either case for all heads of one KV head's group.
 *
 * A task that computes a part leaves the states of its rows behind. Which of a tile's tasks ends
 * last goes on with the rest of this tile: no thread ever waits for another one.
 *
 * @param scratch this thread's own memory
 */
export function runTask(layer: usize, step: usize, index: i32, scratch: usize): void {
  const task = <usize>load<u32>(step, STEP_TASKS) + <usize>index * TASK_BYTES;
  const tiles = <usize>load<u32>(step, STEP_TASK_TILES) + (<usize>load<i32>(task, TASK_FIRST) << 2);
  const kvHead = load<i32>(task, TASK_HEAD);
  if (load<i32>(task, TASK_END) == 0) {
    finishTile(layer, step, tiles, kvHead, scratch);
    return;
  }
  attendPart(layer, step, task, tiles, kvHead, scratch);
  const kvHeads = load<i32>(layer, LAYER_NUM_KV_HEADS);
  for (let t = 0; t < load<i32>(task, TASK_COUNT); t++) {
    const tile = tiles + (<usize>t << 2);
    const pending = <usize>load<u32>(step, STEP_PENDING) + (<usize>(load<i32>(tile) * kvHeads + kvHead) << 2);
    if (atomic.sub<i32>(pending, 1) == 1) finishTile(layer, step, tile, kvHead, scratch);
  }
}

/** Computes the states of a task's rows in their place. */
function attendPart(layer: usize, step: usize, task: usize, tiles: usize, kvHead: i32, scratch: usize): void {
  const count = load<i32>(task, TASK_COUNT);
  const begin = load<i32>(task, TASK_BEGIN);
  const group = groupOf(layer);
  let rows = 0;
  for (let t = 0; t < count; t++) rows += load<i32>(tileOf(step, tiles + (<usize>t << 2)), TILE_NUM_QUERIES) * group;
  const s = placeScratch(layer, rows, scratch);
  const states = <usize>load<u32>(step, STEP_STATES) + <usize>load<i32>(task, TASK_STATES) * stateBytes(layer);
  const span = begin / (TILES_PER_SPAN * blocksPerTile(layer));
  const rowBytes = <usize>load<i32>(layer, LAYER_HEAD_SIZE) << 2;
  for (let t = 0, row: usize = 0; t < count; t++) {
    const tile = tileOf(step, tiles + (<usize>t << 2));
    loadQueries(layer, step, tile, kvHead, s.queries + row * rowBytes, s.queryScales + (row << 2));
    beginStates(layer, step, tile, kvHead, span, states + row * stateBytes(layer));
    row += <usize>(load<i32>(tile, TILE_NUM_QUERIES) * group);
  }
  attend(layer, step, tiles, count, rows, kvHead, begin, load<i32>(task, TASK_END), states, s);
}

/**
 * Computes what tasks have left of a tile's spans, puts the spans together in their order, and
 * stores the output.
 *
 * @param tiles where the tile's index is
 */
function finishTile(layer: usize, step: usize, tiles: usize, kvHead: i32, scratch: usize): void {
  const tile = tileOf(step, tiles);
  const rows = load<i32>(tile, TILE_NUM_QUERIES) * groupOf(layer);
  const s = placeScratch(layer, rows, scratch);
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const perSpan = TILES_PER_SPAN * blocksPerTile(layer);
  const firstBlock = firstTokenOf(layer, firstPositionOf(step, tile)) / blockSize;
  const numBlocks = lastPositionOf(step, tile) / blockSize + 1;
  const firstSpan = load<i32>(tile, TILE_SPANS);
  let loaded = false;
  let total: usize = 0;
  for (let begin = firstBlock, i = 0; begin < numBlocks; i++) {
    const span = begin / perSpan;
    const end = min((span + 1) * perSpan, numBlocks);
    const record = <usize>load<u32>(step, STEP_SPANS) + <usize>(firstSpan + i) * SPAN_BYTES;
    const done = firstSpan == NO_SPANS ? 0 : load<i32>(record, SPAN_DONE);
    let states = total == 0 ? s.states : s.otherStates;
    if (done != 0) {
      const place = load<i32>(record, SPAN_STATES) + kvHead * load<i32>(record, SPAN_ROWS);
      states = <usize>load<u32>(step, STEP_STATES) + <usize>place * stateBytes(layer);
      begin = done;
    } else {
      beginStates(layer, step, tile, kvHead, span, states);
    }
    if (begin < end) {
      if (!loaded) loadQueries(layer, step, tile, kvHead, s.queries, s.queryScales);
      loaded = true;
      attend(layer, step, tiles, 1, rows, kvHead, begin, end, states, s);
    }
    if (total == 0) total = states;
    else addStates(layer, total, states, rows);
    begin = end;
  }
  storeOutput(layer, step, tile, kvHead, total);
}
