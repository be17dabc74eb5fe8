import { elementSize, isInteger, toBf16 } from './formats';
import {
  FORMAT_F32, FORMAT_INT16, LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_KEY_PAGES, LAYER_KEY_SCALES,
  LAYER_NUM_KV_HEADS, LAYER_VALUE_PAGES, LAYER_VALUE_SCALES, STEP_CONTEXT_LENGTHS, STEP_KEY, STEP_NUM_SEQUENCES,
  STEP_QUERY_STARTS, STEP_VALUE,
} from './layout';
import { roundToInt } from './math';
import { addressOf, pageOf, scalesOf, tableOf } from './pages';
import { inverseOf, keyScale, valueScale } from './quantize';
import { rotate } from './rotary';

/**
 * Writes the step's K and V into their slots. Float pages are `[headSize][blockSize]` for K, so
 * that 16 tokens of one dimension are four vectors, and `[blockSize][headSize]` for V. In integer
 * pages, two adjacent terms of a sum are adjacent: dimensions of K, `[headSize / 2][blockSize][2]`,
 * and tokens of V, `[blockSize / 2][headSize][2]`.
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
  const table = tableOf(step, sequence);
  const slot = position % blockSize;
  for (let head = 0; head < heads; head++) {
    const source = <usize>((row * heads + head) * headSize) << 2;
    const page = pageOf(layer, table, position / blockSize, head);
    const key = <usize>load<u32>(step, STEP_KEY) + source;
    const value = <usize>load<u32>(step, STEP_VALUE) + source;
    const keyPage = addressOf(layer, LAYER_KEY_PAGES, page);
    const valuePage = addressOf(layer, LAYER_VALUE_PAGES, page);
    rotate(layer, key, position);
    if (isInteger(format)) {
      const at = <usize>slot << 2;
      const ofKey = keyScale(key, headSize, format);
      const ofValue = valueScale(value, headSize, format);
      store<f32>(scalesOf(layer, LAYER_KEY_SCALES, page) + at, ofKey);
      store<f32>(scalesOf(layer, LAYER_VALUE_SCALES, page) + at, ofValue);
      storeIntegers(keyPage, 2 * slot, 1, 2 * blockSize, key, headSize, ofKey, format);
      storeIntegers(valuePage, (slot >> 1) * 2 * headSize + (slot & 1), 2, 4, value, headSize, ofValue, format);
    } else {
      storeFloats(keyPage, slot, blockSize, key, headSize, format);
      storeFloats(valuePage, slot * headSize, 1, value, headSize, format);
    }
  }
}

/** Writes `count` floats of `source` to the elements `first`, `first + stride`, ... of a page. */
function storeFloats(page: usize, first: i32, stride: i32, source: usize, count: i32, format: i32): void {
  for (let i = 0; i < count; i++) {
    const x = load<f32>(source + (<usize>i << 2));
    const at = <usize>(first + i * stride);
    if (format == FORMAT_F32) store<f32>(page + (at << 2), x);
    else store<u16>(page + (at << 1), toBf16(x));
  }
}

/**
 * Writes `count` floats, a multiple of 4, over `scale` to the elements `first`, `first + odd`,
 * `first + pair`, `first + pair + odd`, ...
 */
function storeIntegers(page: usize, first: i32, odd: i32, pair: i32, source: usize, count: i32, scale: f32, format: i32): void {
  const inverse = f32x4.splat(inverseOf(scale));
  const size = elementSize(format);
  let at = page + <usize>first * size;
  for (let i: usize = 0; i < <usize>count << 2; i += 16) {
    const x = roundToInt(f32x4.mul(v128.load(source + i), inverse));
    storeInteger(at, i32x4.extract_lane(x, 0), format);
    storeInteger(at + <usize>odd * size, i32x4.extract_lane(x, 1), format);
    at += <usize>pair * size;
    storeInteger(at, i32x4.extract_lane(x, 2), format);
    storeInteger(at + <usize>odd * size, i32x4.extract_lane(x, 3), format);
    at += <usize>pair * size;
  }
}

// @ts-ignore: decorator
@inline
function storeInteger(at: usize, x: i32, format: i32): void {
  if (format == FORMAT_INT16) store<i16>(at, <i16>x);
  else store<i8>(at, <i8>x);
}
