import { isInteger } from './formats';
import {
  LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_NUM_HEADS, LAYER_NUM_KV_HEADS, LAYER_WINDOW,
  STEP_CONTEXT_LENGTHS, STEP_LAST_SEEN, STEP_QUERY_STARTS, STEP_TILES, TILE_TOKENS,
} from './layout';
import { findBlock, loadValueScales, selectionOf, tableOf, touch } from './pages';
import { beginRows, loadQueries, storeOutput } from './rows';
import { updateSoftmax } from './softmax';
import { addTileOfFloats, addTileOfIntegers, scoreTileOfFloats, scoreTileOfIntegers } from './tiles';

/**
 * One task: the queries of one tile, for all heads of one KV head's group, over the whole context,
 * with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022, FlashAttention, algorithm
 * 1), so that no buffer grows with the context.
 *
 * The context is split at multiples of the tile, wherever a window or a query begins. The order in
 * which a row's sums are added depends on its position alone, so a prompt gives the same bits
 * however it is split into steps.
 *
 * @param scratch this thread's own memory; its size is `scratchBytes` of the host
 */
export function attend(layer: usize, step: usize, tile: i32, kvHead: i32, scratch: usize): void {
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const integers = isInteger(load<i32>(layer, LAYER_FORMAT));
  const kvHeads = load<i32>(layer, LAYER_NUM_KV_HEADS);
  const group = load<i32>(layer, LAYER_NUM_HEADS) / kvHeads;
  const tilePointer = <usize>load<u32>(step, STEP_TILES) + <usize>(tile * 12);
  const sequence = load<i32>(tilePointer);
  const firstQuery = load<i32>(tilePointer, 4);
  const numQueries = load<i32>(tilePointer, 8);
  const starts = <usize>load<u32>(step, STEP_QUERY_STARTS) + (<usize>sequence << 2);
  const firstRow = load<i32>(starts) + firstQuery;
  const context = load<i32>(<usize>load<u32>(step, STEP_CONTEXT_LENGTHS) + (<usize>sequence << 2));
  const firstPosition = context - (load<i32>(starts, 4) - load<i32>(starts)) + firstQuery;
  const ofStep = <usize>load<u32>(step, STEP_LAST_SEEN);
  const lastSeen = ofStep == 0 ? 0 : ofStep + (<usize>firstRow << 2);
  let lastPosition = firstPosition + numQueries - 1;
  if (lastSeen != 0) {
    for (let i = 0; i < numQueries; i++) lastPosition = max(lastPosition, load<i32>(lastSeen + (<usize>i << 2)));
  }
  const rows = numQueries * group;

  const blocksPerTile = max(1, TILE_TOKENS / blockSize);
  const rowBytes = <usize>headSize << 2;
  const scoreStride = <usize>(blocksPerTile * blockSize) << 2;
  const columnBytes = <usize>rows << 2;
  const queries = scratch;
  const output = queries + <usize>rows * rowBytes;
  const scores = output + <usize>rows * rowBytes;
  const maxima = scores + <usize>rows * scoreStride;
  const sums = maxima + columnBytes;
  const queryScales = sums + columnBytes;
  const weightScales = queryScales + columnBytes;
  const valueScales = weightScales + columnBytes;
  const pieces = valueScales + scoreStride;
  const wide = (pieces + (<usize>blocksPerTile << 2) + 15) & ~15;

  loadQueries(layer, step, firstRow, numQueries, group, kvHead, firstPosition, queries, queryScales);
  beginRows(layer, numQueries, group, kvHead, maxima, sums);
  memory.fill(output, 0, <usize>rows * rowBytes);

  const table = tableOf(step, sequence);
  const window = load<i32>(layer, LAYER_WINDOW);
  const firstToken = window > 0 ? max(0, firstPosition - window + 1) : 0;
  const numBlocks = lastPosition / blockSize + 1;
  const selection = selectionOf(step, sequence);
  const ownBlock = (firstPosition - firstQuery) / blockSize;

  for (let begin = firstToken / blockSize; begin < numBlocks;) {
    let end = min((begin / blocksPerTile + 1) * blocksPerTile, numBlocks);
    if (selection != 0) {
      // What is read of a tile, in runs of blocks that follow one another.
      begin = findBlock(selection, begin, end, ownBlock, true);
      if (begin == end) continue;
      end = findBlock(selection, begin, end, ownBlock, false);
    }
    const count = (end - begin) * blockSize;
    // With more queries, computing on a page takes longer than loading the next one.
    if (numQueries == 1) store<i32>(pieces, touch(layer, table, begin, end, kvHead));
    if (integers) {
      scoreTileOfIntegers(layer, table, begin, end, kvHead, queries, queryScales, rows, scores, scoreStride, pieces, wide);
    } else {
      scoreTileOfFloats(layer, table, begin, end, kvHead, queries, rows, scores, scoreStride, wide);
    }
    const written = min(count, context - begin * blockSize);
    if (integers) loadValueScales(layer, table, begin, end, kvHead, written, valueScales);
    updateSoftmax(
      layer, scores, scoreStride, rows, group, kvHead, begin * blockSize, count, firstPosition, lastSeen, maxima, sums,
      output, integers ? valueScales : 0, weightScales,
    );
    if (integers) {
      addTileOfIntegers(layer, table, begin, end, kvHead, written, scores, scoreStride, weightScales, rows, output, pieces, wide);
    } else {
      addTileOfFloats(layer, table, begin, end, kvHead, written, scores, scoreStride, rows, output, wide);
    }
    begin = end;
  }
  storeOutput(layer, step, firstRow, numQueries, group, kvHead, output, sums);
}
