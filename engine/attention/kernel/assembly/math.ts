/** 1.5 * 2^23: adding it leaves a float's nearest integer in the lowest bits. */
const ROUNDER: f32 = 12582912;

/** Scores are in units of ln 2, so that their exponentials are powers of 2. */
export const LOG2_E: f32 = 1.44269504088896341;

/**
 * 2^x for four floats, none above 126: x = n + r with |r| <= 1/2, then a polynomial of degree 5 in
 * r (least relative error among those with 2^0 = 1, by Lawson's reweighted least squares), and n
 * added to its exponent. Relative error below 2e-7. Below -126 it is no longer accurate, and at
 * -127 and below it is 0: the exponent of 1 minus 127. (It must be exactly 0: a masked token must
 * not even decide a rounding tie.)
 */
// @ts-ignore: decorator
@inline
export function exp2(x: v128): v128 {
  const inside = f32x4.relaxed_max(x, f32x4.splat(-127));
  const rounded = f32x4.add(inside, f32x4.splat(ROUNDER));
  const r = f32x4.sub(inside, f32x4.sub(rounded, f32x4.splat(ROUNDER)));
  let p = f32x4.relaxed_madd(f32x4.splat(1.326472730e-3), r, f32x4.splat(9.671512991e-3));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(5.550733581e-2));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(2.402224243e-1));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(6.931470037e-1));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(1.0));
  // The shift keeps only n: the bits of the rounder itself are shifted out at the top.
  return i32x4.add(p, i32x4.shl(rounded, 23));
}

/** tanh x = 1 - 2 / (e^2x + 1): an absolute error of about 1e-7. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  // From 9.01 on, tanh is 1 in float32.
  const bounded = f32x4.relaxed_min(x, f32x4.splat(20));
  const e = exp2(f32x4.mul(bounded, f32x4.splat(2 * LOG2_E)));
  return f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(e, f32x4.splat(1))));
}

/** The nearest integers, ties to even, of floats within +-2^22. */
// @ts-ignore: decorator
@inline
export function roundToInt(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(ROUNDER)), i32x4.splat(reinterpret<i32>(ROUNDER)));
}

// @ts-ignore: decorator
@inline
export function exp2Of(x: f32): f32 {
  return first(exp2(f32x4.splat(x)));
}

// Horizontal results are in all four lanes. They use shuffles, because WebAssembly's scalar maximum
// compiles to branches on x86, and which of two scores is larger is unpredictable.

// @ts-ignore: decorator
@inline
export function horizontalMax(x: v128): v128 {
  const pairs = f32x4.relaxed_max(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return f32x4.relaxed_max(pairs, i32x4.shuffle(pairs, pairs, 1, 0, 3, 2));
}

// @ts-ignore: decorator
@inline
export function horizontalSum(x: v128): v128 {
  const pairs = f32x4.add(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return f32x4.add(pairs, i32x4.shuffle(pairs, pairs, 1, 0, 3, 2));
}

// @ts-ignore: decorator
@inline
export function first(x: v128): f32 {
  return f32x4.extract_lane(x, 0);
}
