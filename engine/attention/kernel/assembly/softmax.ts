import { LAYER_ALIBI, LAYER_HEAD_SIZE, LAYER_SOFTCAP, LAYER_WINDOW } from './layout';
import { exp2, exp2Of, first, horizontalMax, horizontalSum, LOG2_E, tanh4 } from './math';
import { narrowWeights } from './quantize';

/** A score with weight 0 next to any other. Finite, like `NOTHING_SEEN`, and far below it. */
const MASKED: f32 = -3e38;

/**
 * Converts the scores of `count` tokens from `firstToken` on to weights, and updates each row's
 * running maximum, sum and output. Scores are in units of ln 2.
 *
 * @param lastSeen the last position that each query attends to; 0: its own
 * @param valueScales factors of the tokens' values, or 0. With them, weights become int16 that
 *   include these factors
 * @param weightScales receives the scale of each row's integers
 */
export function updateSoftmax(
  layer: usize, scores: usize, scoreStride: usize, rows: i32, group: i32, kvHead: i32, firstToken: i32, count: i32,
  firstPosition: i32, lastSeen: usize, maxima: usize, sums: usize, output: usize, valueScales: usize, weightScales: usize,
): void {
  const window = load<i32>(layer, LAYER_WINDOW);
  const softcap = load<f32>(layer, LAYER_SOFTCAP) * LOG2_E;
  const alibi = <usize>load<u32>(layer, LAYER_ALIBI);
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const bytes = <usize>count << 2;
  for (let row = 0; row < rows; row++) {
    const position = firstPosition + row / group;
    const s = scores + <usize>row * scoreStride;
    if (softcap > 0) cap(s, bytes, softcap);
    if (alibi != 0) {
      lean(s, bytes, load<f32>(alibi + (<usize>(kvHead * group + row % group) << 2)) * LOG2_E, <f32>(firstToken - position));
    }
    const lowest = window > 0 ? position - window + 1 : 0;
    const last = lastSeen == 0 ? position : load<i32>(lastSeen + (<usize>(row / group) << 2));
    if (firstToken + count - 1 > last || firstToken < lowest) mask(s, bytes, firstToken, lowest, last);

    const at = <usize>row << 2;
    let largest = v128.load32_splat(maxima + at);
    for (let i: usize = 0; i < bytes; i += 16) largest = f32x4.relaxed_max(largest, v128.load(s + i));
    const before = load<f32>(maxima + at);
    largest = horizontalMax(largest);
    const sum = valueScales == 0 ? weigh(s, bytes, largest) : weighValues(s, bytes, largest, valueScales, weightScales + at);
    const now = first(largest);
    if (now != before) {
      const shrink = exp2Of(before - now);
      store<f32>(maxima + at, now);
      store<f32>(sums + at, load<f32>(sums + at) * shrink);
      const o = output + (<usize>(row * headSize) << 2);
      const factor = f32x4.splat(shrink);
      for (let i: usize = 0; i < <usize>headSize << 2; i += 16) v128.store(o + i, f32x4.mul(v128.load(o + i), factor));
    }
    store<f32>(sums + at, load<f32>(sums + at) + sum);
  }
}

/** Converts scores minus `shift` to weights. @returns their sum */
// @ts-ignore: decorator
@inline
function weigh(s: usize, bytes: usize, shift: v128): f32 {
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const weight = exp2(f32x4.sub(v128.load(s + i), shift));
    sum = f32x4.add(sum, weight);
    v128.store(s + i, weight);
  }
  return first(horizontalSum(sum));
}

/**
 * The same, times scales, as int16 in the first half of the row.
 *
 * @returns the sum of the weights without scales
 */
// @ts-ignore: decorator
@inline
function weighValues(s: usize, bytes: usize, shift: v128, valueScales: usize, weightScale: usize): f32 {
  let sum = f32x4.splat(0), scaledSum = sum, scaledLargest = sum;
  for (let i: usize = 0; i < bytes; i += 16) {
    const weight = exp2(f32x4.sub(v128.load(s + i), shift));
    sum = f32x4.add(sum, weight);
    const scaled = f32x4.mul(weight, v128.load(valueScales + i));
    scaledSum = f32x4.add(scaledSum, scaled);
    scaledLargest = f32x4.relaxed_max(scaledLargest, scaled);
    v128.store(s + i, scaled);
  }
  store<f32>(weightScale, narrowWeights(s, bytes, horizontalMax(scaledLargest), horizontalSum(scaledSum)));
  return first(horizontalSum(sum));
}

function cap(s: usize, bytes: usize, softcap: f32): void {
  const limit = f32x4.splat(softcap);
  const inverse = f32x4.splat(1 / softcap);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(s + i, f32x4.mul(limit, tanh4(f32x4.mul(v128.load(s + i), inverse))));
  }
}

/** ALiBi (Press et al. 2022): a penalty that grows with the distance. */
function lean(s: usize, bytes: usize, slope: f32, firstDistance: f32): void {
  const slopes = f32x4.splat(slope);
  let distance = f32x4.add(f32x4.splat(firstDistance), f32x4(0, 1, 2, 3));
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(s + i, f32x4.add(v128.load(s + i), f32x4.mul(slopes, distance)));
    distance = f32x4.add(distance, f32x4.splat(4));
  }
}

/**
 * Masks tokens behind the last one that is seen, tokens before the window, and slots that were
 * never written, whatever they hold.
 */
function mask(s: usize, bytes: usize, firstToken: i32, lowest: i32, highest: i32): void {
  let token = i32x4.add(i32x4.splat(firstToken), i32x4(0, 1, 2, 3));
  const low = i32x4.splat(lowest);
  const high = i32x4.splat(highest);
  for (let i: usize = 0; i < bytes; i += 16) {
    const visible = v128.and(i32x4.ge_s(token, low), i32x4.le_s(token, high));
    v128.store(s + i, v128.bitselect(v128.load(s + i), f32x4.splat(MASKED), visible));
    token = i32x4.add(token, i32x4.splat(4));
  }
}
