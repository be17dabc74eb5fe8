import { inverseOf, largestLane, magnitudes, roundToFloat, roundToInt, sumOfLanes, toInt8 } from './numbers';

// Whole numbers with a scale for each group of neighboring inputs. Groups have a multiple of 16
// numbers.

/** @returns the largest magnitude; not finite where a number is not */
export function roundGroups8(floats: usize, groups: i32, size: usize, values: usize, scales: usize): f32 {
  let all = 0;
  for (let g = 0; g < groups; g++) {
    const own = largestOf(floats, size);
    all = max(all, own);
    const scale = reinterpret<f32>(own) / 127;
    store<f32>(scales, scale);
    const factor = f64x2.splat(scale == 0 ? 0 : 1 / <f64>scale);
    for (let i: usize = 0; i < size; i += 16) {
      // 128 stands for 0.
      v128.store(values + i, v128.xor(toInt8(floats + (i << 2), factor), i8x16.splat(-128)));
    }
    floats += size << 2;
    values += size;
    scales += 4;
  }
  return reinterpret<f32>(all);
}

/**
 * Tries several roundings of a group, and keeps the one that is nearest with its best scale: for
 * whole numbers q, the squared error is least at s = xq / qq, and is then xx - (xq)^2 / qq.
 *
 * @param tried numbers that the largest weight of a group is rounded to; beyond -8, it is cut, and
 *   the others are rounded finer
 * @returns the largest magnitude; not finite where a number is not
 */
export function roundGroups4(
  floats: usize, groups: i32, size: usize, tried: usize, count: i32, values: usize, scales: usize,
): f32 {
  let all = 0;
  for (let g = 0; g < groups; g++) {
    const own = largestOf(floats, size);
    all = max(all, own);
    const inverse = inverseOf(reinterpret<f32>(own)) * signOf(floats, size, own);
    let best: f64 = -1;
    let factor: f32 = 0;
    let scale: f32 = 0;
    for (let t = 0; t < (inverse == 0 ? 0 : count); t++) {
      const by = load<f32>(tried + (<usize>t << 2)) * inverse;
      const by4 = f32x4.splat(by);
      let products = f32x4.splat(0);
      let squares = f32x4.splat(0);
      for (let i: usize = 0; i < size << 2; i += 16) {
        const x = v128.load(floats + i);
        const q = within(roundToFloat(f32x4.mul(x, by4)));
        products = f32x4.add(products, f32x4.mul(x, q));
        squares = f32x4.add(squares, f32x4.mul(q, q));
      }
      const xq: f64 = sumOfLanes(products);
      const qq: f64 = sumOfLanes(squares);
      const gain = (xq * xq) / qq;
      if (gain <= best) continue;
      best = gain;
      factor = by;
      scale = <f32>(xq / qq);
    }
    store<f32>(scales, scale);
    const factor4 = f32x4.splat(factor);
    const eight = i32x4.splat(8);
    for (let i: usize = 0; i < size; i += 16) {
      const at = floats + (i << 2);
      const a = i32x4.add(roundToInt(within(f32x4.mul(v128.load(at), factor4))), eight);
      const b = i32x4.add(roundToInt(within(f32x4.mul(v128.load(at, 16), factor4))), eight);
      const c = i32x4.add(roundToInt(within(f32x4.mul(v128.load(at, 32), factor4))), eight);
      const d = i32x4.add(roundToInt(within(f32x4.mul(v128.load(at, 48), factor4))), eight);
      v128.store(values + i, i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
    }
    floats += size << 2;
    values += size;
    scales += 4;
  }
  return reinterpret<f32>(all);
}

/** Bits of the largest magnitude. */
// @ts-ignore: decorator
@inline
function largestOf(floats: usize, size: usize): i32 {
  let most = i32x4.splat(0);
  for (let i: usize = 0; i < size << 2; i += 16) most = i32x4.max_s(most, magnitudes(v128.load(floats + i)));
  return largestLane(most);
}

/** Sign of the first number with a magnitude. */
// @ts-ignore: decorator
@inline
function signOf(floats: usize, size: usize, magnitude: i32): f32 {
  for (let i: usize = 0; i < size << 2; i += 4) {
    const bits = load<i32>(floats + i);
    if ((bits & 0x7fffffff) == magnitude) return bits < 0 ? -1 : 1;
  }
  return 1;
}

// @ts-ignore: decorator
@inline
function within(q: v128): v128 {
  return f32x4.pmin(f32x4.pmax(q, f32x4.splat(-8)), f32x4.splat(7));
}
