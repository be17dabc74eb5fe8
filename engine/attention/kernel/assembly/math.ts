/** 1.5 * 2^23: adding it leaves a float's nearest integer in the lowest bits. */
const ROUNDER: f32 = 12582912;

/** Where e^x is still a normal float; below, `exp4` is 0. */
const LOWEST: f32 = -87.3;

/**
 * e^x for four floats, none above 88: x = n ln 2 + r with |r| <= ln 2 / 2, then a polynomial of degree 6 in r (Cephes' expf,
 * Moshier 1989), and n added to its exponent. Relative error below 2e-7. Below -87.3 the result is 0, not a denormal.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const tooSmall = f32x4.lt(x, f32x4.splat(LOWEST));
  const inside = f32x4.relaxed_max(x, f32x4.splat(LOWEST));
  const rounded = f32x4.relaxed_madd(inside, f32x4.splat(1.44269504088896341), f32x4.splat(ROUNDER));
  const n = f32x4.sub(rounded, f32x4.splat(ROUNDER));
  // ln 2 in two parts, so that n ln 2 is exact enough.
  let r = f32x4.relaxed_nmadd(n, f32x4.splat(0.693359375), inside);
  r = f32x4.relaxed_nmadd(n, f32x4.splat(-2.12194440e-4), r);
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.relaxed_madd(p, r, f32x4.splat(1.3981999507e-3));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(8.3334519073e-3));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(4.1665795894e-2));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(1.6666665459e-1));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(5.0000001201e-1));
  p = f32x4.relaxed_madd(f32x4.mul(p, r), r, f32x4.add(r, f32x4.splat(1.0)));
  // The shift leaves n alone: the rounder's own bits fall out at the top.
  return v128.andnot(i32x4.add(p, i32x4.shl(rounded, 23)), tooSmall);
}

/** tanh x = 1 - 2 / (e^2x + 1): an absolute error of about 1e-7. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  // From 9.01 on it is 1 in float32.
  const bounded = f32x4.relaxed_min(x, f32x4.splat(20));
  const e = exp4(f32x4.add(bounded, bounded));
  return f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(e, f32x4.splat(1))));
}

// @ts-ignore: decorator
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline
export function horizontalMax(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

// @ts-ignore: decorator
@inline
export function horizontalSum(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3);
}
