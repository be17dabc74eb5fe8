/**
 * e^x for four floats: x = n ln 2 + r with |r| <= ln 2 / 2, then a polynomial of degree 6 in r (Cephes' expf, Moshier 1989) and 2^n
 * put into the exponent. Relative error below 2e-7. Below -87.3 the result is 0, not a denormal; above 88 it saturates.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const small = f32x4.lt(x, f32x4.splat(-87.3));
  const clamped = f32x4.min(f32x4.max(x, f32x4.splat(-87.3)), f32x4.splat(88.0));
  const n = f32x4.nearest(f32x4.mul(clamped, f32x4.splat(1.44269504088896341)));
  // ln 2 in two parts, so that n ln 2 is exact enough.
  let r = f32x4.relaxed_nmadd(n, f32x4.splat(0.693359375), clamped);
  r = f32x4.relaxed_nmadd(n, f32x4.splat(-2.12194440e-4), r);
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.relaxed_madd(p, r, f32x4.splat(1.3981999507e-3));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(8.3334519073e-3));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(4.1665795894e-2));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(1.6666665459e-1));
  p = f32x4.relaxed_madd(p, r, f32x4.splat(5.0000001201e-1));
  p = f32x4.relaxed_madd(f32x4.mul(p, r), r, f32x4.add(r, f32x4.splat(1.0)));
  const exponent = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return v128.andnot(f32x4.mul(p, exponent), small);
}

/** tanh x = 1 - 2 / (e^2x + 1): an absolute error of about 1e-7. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const e = exp4(f32x4.add(x, x));
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
