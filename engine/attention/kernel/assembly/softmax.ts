import { LAYER_ALIBI, LAYER_HEAD_SIZE, LAYER_SOFTCAP } from './layout';
import { exp2, exp2Of, first, horizontalMax, horizontalSum, LOG2_E, tanh4 } from './math';
import { TILE_NUM_QUERIES } from './plan-layout';
import { narrowWeights } from './quantize';
import { firstPositionOf, firstTokenOf, groupOf, lastSeenOf } from './rows';
import { maximumOf, stateBytes } from './states';

/** A score with weight 0 next to any other. Finite, like `NOTHING_SEEN`, and far below it. */
const MASKED: f32 = -3e38;

/**
 * Converts the scores of `count` tokens from `firstToken` on to weights, and updates the states of
 * a query tile's rows. Scores are in units of ln 2.
 *
 * @param valueScales factors of the tokens' values, or 0. With them, weights become int16 that
 *   include these factors
 * @param weightScales receives the scale of each row's integers
 */
export function updateSoftmax(
  layer: usize, step: usize, tile: usize, kvHead: i32, scores: usize, scoreStride: usize, firstToken: i32, count: i32, states: usize,
  valueScales: usize, weightScales: usize,
): void {
  const softcap = load<f32>(layer, LAYER_SOFTCAP) * LOG2_E;
  const alibi = <usize>load<u32>(layer, LAYER_ALIBI);
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const group = groupOf(layer);
  const queries = load<i32>(tile, TILE_NUM_QUERIES);
  const firstPosition = firstPositionOf(step, tile);
  const lastSeen = lastSeenOf(step, tile);
  const bytes = <usize>count << 2;
  const stride = stateBytes(layer);
  let s = scores;
  let state = states;
  for (let query = 0; query < queries; query++) {
    const position = firstPosition + query;
    const lowest = firstTokenOf(layer, position);
    const last = lastSeen == 0 ? position : load<i32>(lastSeen + (<usize>query << 2));
    const isMasked = firstToken + count - 1 > last || firstToken < lowest;
    for (let head = 0; head < group; head++) {
      if (softcap > 0) cap(s, bytes, softcap);
      if (alibi != 0) {
        lean(s, bytes, load<f32>(alibi + (<usize>(kvHead * group + head) << 2)) * LOG2_E, <f32>(firstToken - position));
      }
      if (isMasked) mask(s, bytes, firstToken, lowest, last);

      const maximum = maximumOf(state, headSize);
      const before = load<f32>(maximum);
      const largest = horizontalMax(f32x4.relaxed_max(f32x4.splat(before), largestOf(s, bytes)));
      const sum = valueScales == 0 ? weigh(s, bytes, largest) : weighValues(s, bytes, largest, valueScales, weightScales);
      const now = first(largest);
      if (now != before) {
        const shrink = exp2Of(before - now);
        store<f32>(maximum, now);
        store<f32>(maximum, load<f32>(maximum, 4) * shrink, 4);
        const factor = f32x4.splat(shrink);
        for (let i: usize = 0; i < <usize>headSize << 2; i += 16) v128.store(state + i, f32x4.mul(v128.load(state + i), factor));
      }
      store<f32>(maximum, load<f32>(maximum, 4) + sum, 4);
      s += scoreStride;
      state += stride;
      weightScales += 4;
    }
  }
}

/** The largest score in each lane, by four chains: each maximum waits for the one before. */
// @ts-ignore: decorator
@inline
function largestOf(s: usize, bytes: usize): v128 {
  let a = v128.load(s), b = a, c = a, d = a;
  const end = s + bytes;
  for (; s + 48 < end; s += 64) {
    a = f32x4.relaxed_max(a, v128.load(s));
    b = f32x4.relaxed_max(b, v128.load(s, 16));
    c = f32x4.relaxed_max(c, v128.load(s, 32));
    d = f32x4.relaxed_max(d, v128.load(s, 48));
  }
  for (; s < end; s += 16) a = f32x4.relaxed_max(a, v128.load(s));
  return f32x4.relaxed_max(f32x4.relaxed_max(a, b), f32x4.relaxed_max(c, d));
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
  const sum = weigh(s, bytes, shift);
  let scaledSum = f32x4.splat(0), scaledLargest = scaledSum;
  for (let i: usize = 0; i < bytes; i += 16) {
    const scaled = f32x4.mul(v128.load(s + i), v128.load(valueScales + i));
    scaledSum = f32x4.add(scaledSum, scaled);
    scaledLargest = f32x4.relaxed_max(scaledLargest, scaled);
    v128.store(s + i, scaled);
  }
  store<f32>(weightScale, narrowWeights(s, bytes, horizontalMax(scaledLargest), horizontalSum(scaledSum)));
  return sum;
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
