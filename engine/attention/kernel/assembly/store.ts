import { elementSize, toBf16 } from './formats';
import {
  FORMAT_BF16, FORMAT_F32, LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_KEY_PAGES, LAYER_KEY_SCALES,
  LAYER_NUM_KV_HEADS, LAYER_VALUE_PAGES, LAYER_VALUE_SCALES, STEP_BLOCK_TABLES, STEP_CONTEXT_LENGTHS, STEP_KEY,
  STEP_NUM_SEQUENCES, STEP_QUERY_STARTS, STEP_TABLE_STRIDE, STEP_VALUE,
} from './layout';
import { rotate } from './rotary';

/**
 * Writes the step's K and V into their slots. K pages are `[headSize][blockSize]`, so that 16 tokens of one dimension are four
 * vectors; V pages are `[blockSize][headSize]`.
 */
export function storeStep(layer: usize, step: usize): void {
  const numSequences = load<i32>(step, STEP_NUM_SEQUENCES);
  for (let s = 0; s < numSequences; s++) {
    const starts = <usize>load<u32>(step, STEP_QUERY_STARTS) + (<usize>s << 2);
    const start = load<i32>(starts);
    const end = load<i32>(starts, 4);
    const context = load<i32>(<usize>load<u32>(step, STEP_CONTEXT_LENGTHS) + (<usize>s << 2));
    for (let row = start; row < end; row++) storeToken(layer, step, s, row, context - (end - row));
  }
}

function storeToken(layer: usize, step: usize, sequence: i32, row: i32, position: i32): void {
  const heads = load<i32>(layer, LAYER_NUM_KV_HEADS);
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const format = load<i32>(layer, LAYER_FORMAT);
  const table = <usize>load<u32>(step, STEP_BLOCK_TABLES) + (<usize>(sequence * load<i32>(step, STEP_TABLE_STRIDE)) << 2);
  const block = load<i32>(table + (<usize>(position / blockSize) << 2));
  const slot = position % blockSize;
  const pageBytes = <usize>(headSize * blockSize) * elementSize(format);
  for (let head = 0; head < heads; head++) {
    const source = <usize>((row * heads + head) * headSize) << 2;
    const page = <usize>(block * heads + head);
    const key = <usize>load<u32>(step, STEP_KEY) + source;
    rotate(layer, key, position);
    storeRow(
      <usize>load<u32>(layer, LAYER_KEY_PAGES) + page * pageBytes, slot, blockSize, key, headSize, format,
      <usize>load<u32>(layer, LAYER_KEY_SCALES) + ((page * <usize>blockSize + <usize>slot) << 2),
    );
    storeRow(
      <usize>load<u32>(layer, LAYER_VALUE_PAGES) + page * pageBytes, slot * headSize, 1,
      <usize>load<u32>(step, STEP_VALUE) + source, headSize, format,
      <usize>load<u32>(layer, LAYER_VALUE_SCALES) + ((page * <usize>blockSize + <usize>slot) << 2),
    );
  }
}

/** Writes `count` floats of `source` to the elements `first`, `first + stride`, ... of a page. */
function storeRow(page: usize, first: i32, stride: i32, source: usize, count: i32, format: i32, scaleSlot: usize): void {
  if (format == FORMAT_F32) {
    for (let i = 0; i < count; i++) {
      store<f32>(page + (<usize>(first + i * stride) << 2), load<f32>(source + (<usize>i << 2)));
    }
    return;
  }
  if (format == FORMAT_BF16) {
    for (let i = 0; i < count; i++) {
      store<u16>(page + (<usize>(first + i * stride) << 1), toBf16(load<f32>(source + (<usize>i << 2))));
    }
    return;
  }
  let largest: f32 = 0;
  for (let i = 0; i < count; i++) largest = max(largest, abs(load<f32>(source + (<usize>i << 2))));
  const scale = largest / 127;
  const inverse: f32 = scale == 0 ? 0 : 1 / scale;
  store<f32>(scaleSlot, scale);
  for (let i = 0; i < count; i++) {
    store<i8>(page + <usize>(first + i * stride), <i8>nearest(load<f32>(source + (<usize>i << 2)) * inverse));
  }
}
