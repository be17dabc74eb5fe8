import { LAYER_ALIBI, LAYER_HEAD_SIZE, LAYER_SOFTCAP, LAYER_WINDOW } from './layout';
import { exp1, exp4, horizontalMax, horizontalSum, tanh4 } from './math';

/** A score that weighs nothing against any other; finite, as `NOTHING_SEEN`, and far below it. */
const MASKED: f32 = -3e38;

/**
 * Turns the scores of `count` tokens from `firstToken` on into weights, and brings each row's running maximum, sum and output up to date.
 *
 * @param keyScales int8 only (else 0): factors of the scores by token; `valueScales` are those of the values
 */
export function updateSoftmax(
  layer: usize, scores: usize, scoreStride: usize, rows: i32, group: i32, kvHead: i32, firstToken: i32, count: i32,
  firstPosition: i32, maxima: usize, sums: usize, output: usize, keyScales: usize, valueScales: usize,
): void {
  const window = load<i32>(layer, LAYER_WINDOW);
  const softcap = load<f32>(layer, LAYER_SOFTCAP);
  const alibi = <usize>load<u32>(layer, LAYER_ALIBI);
  const headSize = load<i32>(layer, LAYER_HEAD_SIZE);
  const bytes = <usize>count << 2;
  for (let row = 0; row < rows; row++) {
    const position = firstPosition + row / group;
    const s = scores + <usize>row * scoreStride;
    if (keyScales != 0) {
      for (let i: usize = 0; i < bytes; i += 16) v128.store(s + i, f32x4.mul(v128.load(s + i), v128.load(keyScales + i)));
    }
    if (softcap > 0) cap(s, bytes, softcap);
    if (alibi != 0) {
      lean(s, bytes, load<f32>(alibi + (<usize>(kvHead * group + row % group) << 2)), <f32>(firstToken - position));
    }
    const lowest = window > 0 ? position - window + 1 : 0;
    if (firstToken + count - 1 > position || firstToken < lowest) mask(s, bytes, firstToken, lowest, position);

    let largest = f32x4.splat(load<f32>(maxima + (<usize>row << 2)));
    for (let i: usize = 0; i < bytes; i += 16) largest = f32x4.relaxed_max(largest, v128.load(s + i));
    const before = load<f32>(maxima + (<usize>row << 2));
    const now = horizontalMax(largest);
    const shift = f32x4.splat(now);
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const weight = exp4(f32x4.sub(v128.load(s + i), shift));
      sum = f32x4.add(sum, weight);
      v128.store(s + i, weight);
    }
    if (keyScales != 0) {
      for (let i: usize = 0; i < bytes; i += 16) v128.store(s + i, f32x4.mul(v128.load(s + i), v128.load(valueScales + i)));
    }
    const at = <usize>row << 2;
    if (now != before) {
      const shrink = exp1(before - now);
      store<f32>(maxima + at, now);
      store<f32>(sums + at, load<f32>(sums + at) * shrink);
      const o = output + (<usize>(row * headSize) << 2);
      const factor = f32x4.splat(shrink);
      for (let i: usize = 0; i < <usize>headSize << 2; i += 16) v128.store(o + i, f32x4.mul(v128.load(o + i), factor));
    }
    store<f32>(sums + at, load<f32>(sums + at) + horizontalSum(sum));
  }
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

/** Hides the future, what lies before the window, and slots that were never written: whatever is in them. */
function mask(s: usize, bytes: usize, firstToken: i32, lowest: i32, position: i32): void {
  let token = i32x4.add(i32x4.splat(firstToken), i32x4(0, 1, 2, 3));
  const low = i32x4.splat(lowest);
  const high = i32x4.splat(position);
  for (let i: usize = 0; i < bytes; i += 16) {
    const visible = v128.and(i32x4.ge_s(token, low), i32x4.le_s(token, high));
    v128.store(s + i, v128.bitselect(v128.load(s + i), f32x4.splat(MASKED), visible));
    token = i32x4.add(token, i32x4.splat(4));
  }
}
