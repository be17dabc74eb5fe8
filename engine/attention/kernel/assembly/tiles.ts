import { widenFloats, widenIntegers } from './formats';
import { accumulateFloats, scoreFloats } from './float-matmuls';
import { accumulateIntegers, scoreIntegers } from './integer-matmuls';
import { LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_KEY_PAGES, LAYER_KEY_SCALES, LAYER_VALUE_PAGES } from './layout';
import { addressOf, pageOf, pageSize, scalesOf } from './pages';

// The two matmuls over a tile of the context: blocks `begin` to `end` of a sequence, whose pages
// may be anywhere.

export function scoreTileOfFloats(
  layer: usize, table: usize, begin: i32, end: i32, kvHead: i32, queries: usize, rows: i32, scores: usize, scoreStride: usize,
  wide: usize,
): void {
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  for (let b = begin; b < end; b++) {
    const page = addressOf(layer, LAYER_KEY_PAGES, pageOf(layer, table, b, kvHead));
    const keys = widenFloats(page, load<i32>(layer, LAYER_FORMAT), pageSize(layer), wide);
    const column = <usize>((b - begin) * blockSize) << 2;
    scoreFloats(keys, blockSize, queries, rows, load<i32>(layer, LAYER_HEAD_SIZE), scores + column, scoreStride);
  }
}

export function addTileOfFloats(
  layer: usize, table: usize, begin: i32, end: i32, kvHead: i32, written: i32, weights: usize, weightStride: usize, rows: i32,
  output: usize, outputStride: usize, wide: usize,
): void {
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  for (let b = begin; b < end; b++) {
    const page = addressOf(layer, LAYER_VALUE_PAGES, pageOf(layer, table, b, kvHead));
    const values = widenFloats(page, load<i32>(layer, LAYER_FORMAT), pageSize(layer), wide);
    const first = (b - begin) * blockSize;
    const tokens = min(blockSize, written - first);
    accumulateFloats(
      values, tokens, weights + (<usize>first << 2), weightStride, rows, load<i32>(layer, LAYER_HEAD_SIZE), output, outputStride,
    );
  }
}

export function scoreTileOfIntegers(
  layer: usize, table: usize, begin: i32, end: i32, kvHead: i32, queries: usize, queryScales: usize, rows: i32, scores: usize,
  scoreStride: usize, pieces: usize, wide: usize,
): void {
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  for (let b = begin; b < end; b++) {
    const page = pageOf(layer, table, b, kvHead);
    const keys = widenIntegers(addressOf(layer, LAYER_KEY_PAGES, page), load<i32>(layer, LAYER_FORMAT), pageSize(layer), wide);
    store<u32>(pieces, <u32>keys);
    const keyScales = scalesOf(layer, LAYER_KEY_SCALES, page);
    const column = <usize>((b - begin) * blockSize) << 2;
    scoreIntegers(
      pieces, blockSize, queries, <usize>headSize << 2, queryScales, rows, headSize, keyScales, scores + column, scoreStride,
    );
  }
}

export function addTileOfIntegers(
  layer: usize, table: usize, begin: i32, end: i32, kvHead: i32, written: i32, weights: usize, weightStride: usize,
  weightScales: usize, rows: i32, output: usize, outputStride: usize, pieces: usize, wide: usize,
): void {
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const count = pageSize(layer);
  for (let b = begin; b < end; b++) {
    const page = addressOf(layer, LAYER_VALUE_PAGES, pageOf(layer, table, b, kvHead));
    const own = wide + (<usize>((b - begin) * count) << 1);
    store<u32>(pieces + (<usize>(b - begin) << 2), <u32>widenIntegers(page, load<i32>(layer, LAYER_FORMAT), count, own));
  }
  const inLast = written - (end - begin - 1) * blockSize;
  accumulateIntegers(
    pieces, end - begin, blockSize >> 1, (min(inLast, blockSize) + 1) >> 1, weights, weightStride, weightScales, rows,
    load<i32>(layer, LAYER_HEAD_SIZE), output, outputStride,
  );
}
