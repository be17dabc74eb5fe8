import { isInteger } from './formats';
import {
  LAYER_FORMAT, LAYER_HEAD_SIZE, LAYER_NUM_HEADS, LAYER_SCALE, LAYER_SINKS, STEP_OUTPUT, STEP_QUERY,
} from './layout';
import { LOG2_E } from './math';
import { quantizeQuery } from './quantize';
import { rotate } from './rotary';

// Prepares and finishes a task's rows; row = query * group + head of the group.

/**
 * Running maximum of a row without scores so far. Finite, so that the difference of two of them is
 * not NaN.
 */
const NOTHING_SEEN: f32 = -1e30;

/**
 * Copies the tile's queries, rotated and scaled: scaling them once saves scaling every score. For
 * integer pages, they are then quantized to int16 in place, and `queryScales` receives their
 * scales.
 */
export function loadQueries(
  layer: usize, step: usize, firstRow: i32, numQueries: i32, group: i32, kvHead: i32, firstPosition: i32, queries: usize,
  queryScales: usize,
): void {
  const integers = isInteger(load<i32>(layer, LAYER_FORMAT));
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const heads = load<i32>(layer, LAYER_NUM_HEADS);
  const scale = f32x4.splat(load<f32>(layer, LAYER_SCALE) * LOG2_E);
  const rowBytes = <usize>headSize << 2;
  let target = queries;
  for (let i = 0; i < numQueries; i++) {
    let source = <usize>load<u32>(step, STEP_QUERY) + <usize>((firstRow + i) * heads + kvHead * group) * rowBytes;
    for (let h = 0; h < group; h++) {
      // Not memory.copy: that checks against the memory size known to this thread, although the
      // memory may have grown since.
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, v128.load(source + d));
      rotate(layer, target, firstPosition + i);
      for (let d: usize = 0; d < rowBytes; d += 16) v128.store(target + d, f32x4.mul(v128.load(target + d), scale));
      if (integers) store<f32>(queryScales + (<usize>(i * group + h) << 2), quantizeQuery(target, headSize));
      target += rowBytes;
      source += rowBytes;
    }
  }
}

/** Starts with the sink, a logit that precedes all others and has no value. */
export function beginRows(layer: usize, numQueries: i32, group: i32, kvHead: i32, maxima: usize, sums: usize): void {
  const sinks = <usize>load<u32>(layer, LAYER_SINKS);
  for (let row = 0; row < numQueries * group; row++) {
    const at = <usize>row << 2;
    store<f32>(maxima + at, sinks == 0 ? NOTHING_SEEN : load<f32>(sinks + (<usize>(kvHead * group + row % group) << 2)) * LOG2_E);
    store<f32>(sums + at, sinks == 0 ? 0 : 1);
  }
}

export function storeOutput(
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
