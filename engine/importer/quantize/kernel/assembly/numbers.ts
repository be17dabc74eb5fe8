/** 1.5 * 2^23: adding it leaves a float's nearest integer, ties to even, in the lowest bits. */
const ROUNDER: f32 = 12582912;

/** The same for a float64: the lower half of its bits is the integer. */
const ROUNDER64: f64 = 6755399441055744;

/** Smaller scales count as 0: their inverse would overflow. */
const SMALLEST: f32 = 1e-30;

/** Factor from floats to whole numbers of a scale; 0 for a scale of 0. */
// @ts-ignore: decorator
@inline
export function inverseOf(scale: f32): f32 {
  return scale < SMALLEST ? 0 : 1 / scale;
}

/**
 * The nearest integers of 16 floats times float64 factors, as int8. In float64, because weights
 * that were whole numbers before have many ties, which a float32's product would decide by chance.
 */
// @ts-ignore: decorator
@inline
export function toInt8(floats: usize, factor: v128): v128 {
  return i8x16.narrow_i16x8_s(
    i16x8.narrow_i32x4_s(scaled(v128.load(floats), factor, factor), scaled(v128.load(floats, 16), factor, factor)),
    i16x8.narrow_i32x4_s(scaled(v128.load(floats, 32), factor, factor), scaled(v128.load(floats, 48), factor, factor)),
  );
}

/** Four floats times factors, as int32. */
// @ts-ignore: decorator
@inline
export function scaled(x: v128, low: v128, high: v128): v128 {
  const rounder = f64x2.splat(ROUNDER64);
  const a = f64x2.mul(f64x2.promote_low_f32x4(x), low);
  const b = f64x2.mul(f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3)), high);
  return i32x4.shuffle(f64x2.add(a, rounder), f64x2.add(b, rounder), 0, 2, 4, 6);
}

/** One float times a factor. */
// @ts-ignore: decorator
@inline
export function scaledOne(x: f32, factor: f64): i32 {
  return <i32>reinterpret<i64>(<f64>x * factor + ROUNDER64);
}

/** The nearest integers of floats within +-2^22. */
// @ts-ignore: decorator
@inline
export function roundToInt(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(ROUNDER)), i32x4.splat(reinterpret<i32>(ROUNDER)));
}

/** The same as floats. */
// @ts-ignore: decorator
@inline
export function roundToFloat(x: v128): v128 {
  return f32x4.sub(f32x4.add(x, f32x4.splat(ROUNDER)), f32x4.splat(ROUNDER));
}

/**
 * Magnitudes as the bits of their floats: these have the order of the floats, and those of
 * infinities and NaN are above all others.
 */
// @ts-ignore: decorator
@inline
export function magnitudes(x: v128): v128 {
  return v128.and(x, i32x4.splat(0x7fffffff));
}

// @ts-ignore: decorator
@inline
export function magnitudeOf(bits: i32): i32 {
  return bits & 0x7fffffff;
}

// @ts-ignore: decorator
@inline
export function largestLane(x: v128): i32 {
  const pairs = i32x4.max_s(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return i32x4.extract_lane(i32x4.max_s(pairs, i32x4.shuffle(pairs, pairs, 1, 0, 3, 2)), 0);
}

// @ts-ignore: decorator
@inline
export function sumOfLanes(x: v128): f32 {
  const pairs = f32x4.add(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.add(pairs, i32x4.shuffle(pairs, pairs, 1, 0, 3, 2)), 0);
}
