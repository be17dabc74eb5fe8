import { elementSize, isInteger, toBf16 } from './formats';
import {
  FORMAT_F32, FORMAT_INT16, LAYER_BLOCK_SIZE, LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_KEY_PAGES, LAYER_KEY_SCALES,
  LAYER_NUM_KV_HEADS, LAYER_VALUE_PAGES, LAYER_VALUE_SCALES, STEP_CONTEXT_LENGTHS, STEP_KEY, STEP_NUM_SEQUENCES,
  STEP_QUERY_STARTS, STEP_VALUE,
} from './layout';
import { addressOf, pageOf, scalesOf, tableOf } from './pages';
import { integersOf, inverseOf, keyScale, valueScale } from './quantize';
import { rotate } from './rotary';
import { tokenBytesOf } from './rows';

/**
 * Writes the step's K and V into their slots. Float pages are `[headSize][blockSize]` for K, so
 * that 16 tokens of one dimension are four vectors, and `[blockSize][headSize]` for V. In integer
 * pages, two adjacent terms of a sum are adjacent: dimensions of K, `[headSize / 2][blockSize][2]`,
 * and tokens of V, `[blockSize / 2][headSize][2]`.
 */
export function storeStep(layer: usize, step: usize): void {
  const numSequences = load<i32>(step, STEP_NUM_SEQUENCES);
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const inPairs = load<i32>(layer, LAYER_FORMAT) == FORMAT_INT16;
  for (let s = 0; s < numSequences; s++) {
    const starts = <usize>load<u32>(step, STEP_QUERY_STARTS) + (<usize>s << 2);
    const end = load<i32>(starts, 4);
    const context = load<i32>(<usize>load<u32>(step, STEP_CONTEXT_LENGTHS) + (<usize>s << 2));
    for (let row = load<i32>(starts); row < end; ) {
      const position = context - (end - row);
      // A block has an even number of slots, so both lie in one page.
      const tokens = inPairs && row + 1 < end && position % blockSize % 2 == 0 ? 2 : 1;
      storeTokens(layer, step, s, row, position, tokens);
      row += tokens;
    }
  }
}

/** Stores one token, or two whose values share words of an int16 page. */
function storeTokens(layer: usize, step: usize, sequence: i32, row: i32, position: i32, tokens: i32): void {
  const heads = load<i32>(layer, LAYER_NUM_KV_HEADS);
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const blockSize = load<i32>(layer, LAYER_BLOCK_SIZE);
  const format = load<i32>(layer, LAYER_FORMAT);
  const table = tableOf(step, sequence);
  const tokenBytes = tokenBytesOf(step, heads, headSize);
  const first = position % blockSize;
  for (let head = 0; head < heads; head++) {
    const source = <usize>row * tokenBytes + (<usize>(head * headSize) << 2);
    const page = pageOf(layer, table, position / blockSize, head);
    const keyPage = addressOf(layer, LAYER_KEY_PAGES, page);
    const valuePage = addressOf(layer, LAYER_VALUE_PAGES, page);
    const keyScales = scalesOf(layer, LAYER_KEY_SCALES, page);
    const valueScales = scalesOf(layer, LAYER_VALUE_SCALES, page);
    let key = <usize>load<u32>(step, STEP_KEY) + source;
    let value = <usize>load<u32>(step, STEP_VALUE) + source;
    for (let slot = first; slot < first + tokens; slot++) {
      rotate(layer, key, position + slot - first);
      if (isInteger(format)) {
        const at = <usize>slot << 2;
        const ofKey = keyScale(key, headSize, format);
        const ofValue = valueScale(value, headSize, format);
        store<f32>(keyScales + at, ofKey);
        store<f32>(valueScales + at, ofValue);
        storeKey(keyPage, slot, blockSize, key, headSize, ofKey, format);
        if (tokens == 1) storeValue(valuePage, slot, value, headSize, ofValue, format);
      } else {
        storeFloats(keyPage, slot, blockSize, key, headSize, format);
        storeFloats(valuePage, slot * headSize, 1, value, headSize, format);
      }
      key += tokenBytes;
      value += tokenBytes;
    }
    if (tokens == 2) {
      const scales = valueScales + (<usize>first << 2);
      storeTwoValues(valuePage, first, value - 2 * tokenBytes, value - tokenBytes, headSize, load<f32>(scales), load<f32>(scales, 4));
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

/** Writes a token's key over `scale`: each pair of dimensions is one word of an integer page. */
function storeKey(page: usize, slot: i32, blockSize: i32, source: usize, headSize: i32, scale: f32, format: i32): void {
  const inverse = f32x4.splat(inverseOf(scale));
  const pair = elementSize(format) << 1;
  const stride = <usize>blockSize * pair;
  let at = page + <usize>slot * pair;
  for (let i: usize = 0; i < <usize>headSize << 2; i += 32) {
    const x = integersOf(source + i, inverse);
    if (format == FORMAT_INT16) {
      v128.store32_lane(at, x, 0);
      v128.store32_lane(at + stride, x, 1);
      v128.store32_lane(at + 2 * stride, x, 2);
      v128.store32_lane(at + 3 * stride, x, 3);
    } else {
      const bytes = i8x16.narrow_i16x8_s(x, x);
      v128.store16_lane(at, bytes, 0);
      v128.store16_lane(at + stride, bytes, 1);
      v128.store16_lane(at + 2 * stride, bytes, 2);
      v128.store16_lane(at + 3 * stride, bytes, 3);
    }
    at += 4 * stride;
  }
}

/** Writes a token's value over `scale`, beside that of the slot with which it shares words. */
function storeValue(page: usize, slot: i32, source: usize, headSize: i32, scale: f32, format: i32): void {
  const inverse = f32x4.splat(inverseOf(scale));
  let at = page + <usize>((slot >> 1) * 2 * headSize + (slot & 1)) * elementSize(format);
  for (let i: usize = 0; i < <usize>headSize << 2; i += 32) {
    const x = integersOf(source + i, inverse);
    if (format == FORMAT_INT16) {
      v128.store16_lane(at, x, 0); v128.store16_lane(at, x, 1, 4); v128.store16_lane(at, x, 2, 8); v128.store16_lane(at, x, 3, 12);
      v128.store16_lane(at, x, 4, 16); v128.store16_lane(at, x, 5, 20); v128.store16_lane(at, x, 6, 24); v128.store16_lane(at, x, 7, 28);
      at += 32;
    } else {
      const y = i8x16.narrow_i16x8_s(x, x);
      v128.store8_lane(at, y, 0); v128.store8_lane(at, y, 1, 2); v128.store8_lane(at, y, 2, 4); v128.store8_lane(at, y, 3, 6);
      v128.store8_lane(at, y, 4, 8); v128.store8_lane(at, y, 5, 10); v128.store8_lane(at, y, 6, 12); v128.store8_lane(at, y, 7, 14);
      at += 16;
    }
  }
}

/** Writes the values of two tokens that share words of an int16 page, over their scales. */
function storeTwoValues(page: usize, slot: i32, even: usize, odd: usize, headSize: i32, evenScale: f32, oddScale: f32): void {
  const ofEven = f32x4.splat(inverseOf(evenScale)), ofOdd = f32x4.splat(inverseOf(oddScale));
  let at = page + (<usize>(slot * headSize) << 1);
  for (let i: usize = 0; i < <usize>headSize << 2; i += 32) {
    const x = integersOf(even + i, ofEven), y = integersOf(odd + i, ofOdd);
    v128.store(at, i16x8.shuffle(x, y, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(at, i16x8.shuffle(x, y, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    at += 32;
  }
}
