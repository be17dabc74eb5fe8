import { elementSize, widen } from './formats';
import {
  FORMAT_INT8, LAYER_ALIBI, LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_KEY_PAGES, LAYER_KEY_SCALES,
  LAYER_NUM_HEADS, LAYER_NUM_KV_HEADS, LAYER_SCALE, LAYER_SINKS, LAYER_VALUE_PAGES, LAYER_VALUE_SCALES, LAYER_WINDOW,
  STEP_BLOCK_TABLES, STEP_CONTEXT_LENGTHS, STEP_OUTPUT, STEP_QUERY, STEP_QUERY_STARTS, STEP_TABLE_STRIDE, STEP_TILES,
  TILE_TOKENS,
} from './layout';
import { accumulateBlock, scoreBlock } from './products';
import { rotate } from './rotary';
import { updateSoftmax } from './softmax';

/** Stands for "has seen nothing": finite, so that no difference of two of them is NaN. */
const NOTHING_SEEN: f32 = -1e30;

/**
 * One task: the queries of one tile, all heads of one KV head's group, over the whole context, with an online softmax (Milakov and
 * Gimelshein 2018; Dao et al. 2022, FlashAttention, algorithm 1): no buffer grows with the context.
 *
 * Rows are query heads within queries: row = query * group + head of the group.
 *
 * @param scratch this thread's own memory: see `scratchBytes` of the host
 */
export function attend(layer: usize, step: usize, tile: i32, kvHead: i32, scratch: usize): void {
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const format = load<i32>(layer, LAYER_FORMAT);
  const kvHeads = load<i32>(layer, LAYER_NUM_KV_HEADS);
  const heads = load<i32>(layer, LAYER_NUM_HEADS);
  const group = heads / kvHeads;
  const tilePointer = <usize>load<u32>(step, STEP_TILES) + <usize>(tile * 12);
  const sequence = load<i32>(tilePointer);
  const firstQuery = load<i32>(tilePointer, 4);
  const numQueries = load<i32>(tilePointer, 8);
  const starts = <usize>load<u32>(step, STEP_QUERY_STARTS) + (<usize>sequence << 2);
  const firstRow = load<i32>(starts) + firstQuery;
  const context = load<i32>(<usize>load<u32>(step, STEP_CONTEXT_LENGTHS) + (<usize>sequence << 2));
  const firstPosition = context - (load<i32>(starts, 4) - load<i32>(starts)) + firstQuery;
  const lastPosition = firstPosition + numQueries - 1;
  const rows = numQueries * group;

  const blocksPerTile = max(1, TILE_TOKENS / blockSize);
  const tileTokens = blocksPerTile * blockSize;
  const rowBytes = <usize>headSize << 2;
  const queries = scratch;
  const output = queries + <usize>rows * rowBytes;
  const scores = output + <usize>rows * rowBytes;
  const scoreStride = <usize>tileTokens << 2;
  const maxima = scores + <usize>rows * scoreStride;
  const sums = maxima + (<usize>rows << 2);
  const keyScales = sums + (<usize>rows << 2);
  const valueScales = keyScales + scoreStride;
  const wide = (valueScales + scoreStride + 15) & ~15;

  loadQueries(layer, step, firstRow, numQueries, group, kvHead, firstPosition, queries);
  beginRows(layer, numQueries, group, kvHead, maxima, sums);
  memory.fill(output, 0, <usize>rows * rowBytes);

  const table = <usize>load<u32>(step, STEP_BLOCK_TABLES) + (<usize>(sequence * load<i32>(step, STEP_TABLE_STRIDE)) << 2);
  const pageBytes = <usize>(headSize * blockSize) * elementSize(format);
  const window = load<i32>(layer, LAYER_WINDOW);
  const firstToken = window > 0 ? max(0, firstPosition - window + 1) : 0;
  const numBlocks = lastPosition / blockSize + 1;

  for (let begin = firstToken / blockSize; begin < numBlocks; begin += blocksPerTile) {
    const end = min(begin + blocksPerTile, numBlocks);
    store<i32>(keyScales, touch(layer, table, begin, end, kvHeads, kvHead, pageBytes));
    for (let b = begin; b < end; b++) {
      const page = <usize>(load<i32>(table + (<usize>b << 2)) * kvHeads + kvHead);
      const keys = widen(<usize>load<u32>(layer, LAYER_KEY_PAGES) + page * pageBytes, format, headSize * blockSize, wide);
      const column = <usize>((b - begin) * blockSize) << 2;
      scoreBlock(keys, blockSize, queries, rows, headSize, scores + column, scoreStride);
      if (format == FORMAT_INT8) {
        const scaleBytes = <usize>blockSize << 2;
        memory.copy(keyScales + column, <usize>load<u32>(layer, LAYER_KEY_SCALES) + page * scaleBytes, scaleBytes);
        memory.copy(valueScales + column, <usize>load<u32>(layer, LAYER_VALUE_SCALES) + page * scaleBytes, scaleBytes);
      }
    }
    updateSoftmax(
      layer, scores, scoreStride, rows, group, kvHead, begin * blockSize, (end - begin) * blockSize, firstPosition,
      maxima, sums, output, format == FORMAT_INT8 ? keyScales : 0, valueScales,
    );
    for (let b = begin; b < end; b++) {
      const page = <usize>(load<i32>(table + (<usize>b << 2)) * kvHeads + kvHead);
      const written = min(blockSize, context - b * blockSize);
      const values = widen(<usize>load<u32>(layer, LAYER_VALUE_PAGES) + page * pageBytes, format, headSize * blockSize, wide);
      const column = <usize>((b - begin) * blockSize) << 2;
      accumulateBlock(values, written, scores + column, scoreStride, rows, headSize, output);
    }
  }
  storeOutput(layer, step, firstRow, numQueries, group, kvHead, output, sums);
}

/**
 * Reads a word of every cache line of the tile's pages, in turn, so that they are all on their way at once. Read one after the other, each
 * page of 2 or 4 KiB waits for memory anew: too short for the hardware to see what comes next, and WebAssembly cannot prefetch.
 *
 * @returns something that depends on all of them, lest the loads be dropped
 */
function touch(layer: usize, table: usize, begin: i32, end: i32, kvHeads: i32, kvHead: i32, pageBytes: usize): i32 {
  const keys = <usize>load<u32>(layer, LAYER_KEY_PAGES);
  const values = <usize>load<u32>(layer, LAYER_VALUE_PAGES);
  let all = 0;
  for (let offset: usize = 0; offset < pageBytes; offset += 64) {
    for (let b = begin; b < end; b++) {
      const page = <usize>(load<i32>(table + (<usize>b << 2)) * kvHeads + kvHead) * pageBytes + offset;
      all |= load<i32>(keys + page) | load<i32>(values + page);
    }
  }
  return all;
}

/** Copies the tile's queries, rotated and scaled: scaling them once saves scaling every score. */
function loadQueries(
  layer: usize, step: usize, firstRow: i32, numQueries: i32, group: i32, kvHead: i32, firstPosition: i32, queries: usize,
): void {
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const heads = load<i32>(layer, LAYER_NUM_HEADS);
  const scale = f32x4.splat(load<f32>(layer, LAYER_SCALE));
  const rowBytes = <usize>headSize << 2;
  let target = queries;
  for (let i = 0; i < numQueries; i++) {
    let source = <usize>load<u32>(step, STEP_QUERY) + <usize>((firstRow + i) * heads + kvHead * group) * rowBytes;
    for (let h = 0; h < group; h++) {
      // Not memory.copy: it checks the size that this thread knows of the memory, which may have grown since.
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, v128.load(source + d));
      rotate(layer, target, firstPosition + i);
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, f32x4.mul(v128.load(target + d), scale));
      target += rowBytes;
      source += rowBytes;
    }
  }
}

/** A sink is a logit that was seen before all others and has no value. */
function beginRows(layer: usize, numQueries: i32, group: i32, kvHead: i32, maxima: usize, sums: usize): void {
  const sinks = <usize>load<u32>(layer, LAYER_SINKS);
  for (let row = 0; row < numQueries * group; row++) {
    const at = <usize>row << 2;
    store<f32>(maxima + at, sinks == 0 ? NOTHING_SEEN : load<f32>(sinks + (<usize>(kvHead * group + row % group) << 2)));
    store<f32>(sums + at, sinks == 0 ? 0 : 1);
  }
}

function storeOutput(
  layer: usize, step: usize, firstRow: i32, numQueries: i32, group: i32, kvHead: i32, output: usize, sums: usize,
): void {
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const heads = load<i32>(layer, LAYER_NUM_HEADS);
  const rowBytes = <usize>headSize << 2;
  let source = output;
  let sum = sums;
  for (let i = 0; i < numQueries; i++) {
    let target = <usize>load<u32>(step, STEP_OUTPUT) + <usize>((firstRow + i) * heads + kvHead * group) * rowBytes;
    for (let h = 0; h < group; h++) {
      const inverse = f32x4.splat(1 / load<f32>(sum));
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, f32x4.mul(v128.load(source + d), inverse));
      source += rowBytes;
      target += rowBytes;
      sum += 4;
    }
  }
}
