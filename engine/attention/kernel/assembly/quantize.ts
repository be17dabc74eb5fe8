import { FORMAT_INT16 } from './layout';
import { first, horizontalMax, horizontalSum, roundToInt } from './math';

// Quantizes float32 rows to the integers that integer-matmuls.ts multiplies; it explains the
// bounds.

/** Euclidean norm of a row of Q, and of a row of K in int16 pages. */
const NORM: f32 = 32767;

/** Largest magnitude of V in int16 pages, and of K and V in int8 pages. */
const LARGEST_INT16_VALUE: f32 = 8191;
const LARGEST_INT8: f32 = 127;

const LARGEST_WEIGHT: f32 = 32767;
/** 250,000 * 8,191 < 2^31, with room for rounding. */
const LARGEST_WEIGHT_SUM: f32 = 250_000;

/** Smaller scales and sums count as 0: their inverse would overflow. */
const SMALLEST: f32 = 1e-30;

/** Factor from floats to integers of a scale; 0 for a scale of 0. */
// @ts-ignore: decorator
@inline
export function inverseOf(scale: f32): f32 {
  return scale < SMALLEST ? 0 : 1 / scale;
}

/** Scale of a row of K: row = scale * integers. */
export function keyScale(row: usize, headSize: i32, format: i32): f32 {
  return format == FORMAT_INT16 ? normOf(row, headSize) / NORM : largestOf(row, headSize) / LARGEST_INT8;
}

/** Scale of a row of V. */
export function valueScale(row: usize, headSize: i32, format: i32): f32 {
  return largestOf(row, headSize) / (format == FORMAT_INT16 ? LARGEST_INT16_VALUE : LARGEST_INT8);
}

/** Quantizes a float32 row of Q to int16, in place. @returns its scale */
export function quantizeQuery(row: usize, headSize: i32): f32 {
  const scale = normOf(row, headSize) / NORM;
  narrow(row, <usize>headSize << 2, f32x4.splat(inverseOf(scale)));
  return scale;
}

/**
 * Quantizes a row of weights (times the scales of V) to int16, in place, as finely as 32-bit sums
 * allow: the error of a weight is at most 1/65,534 of the row's largest, or 1/500,000 of their sum.
 *
 * @returns the scale
 */
// @ts-ignore: decorator
@inline
export function narrowWeights(row: usize, bytes: usize, largest: v128, sum: v128): f32 {
  const factor = f32x4.relaxed_min(
    f32x4.div(f32x4.splat(LARGEST_WEIGHT), largest), f32x4.div(f32x4.splat(LARGEST_WEIGHT_SUM), sum),
  );
  const nothing = f32x4.lt(sum, f32x4.splat(SMALLEST));
  narrow(row, bytes, v128.andnot(factor, nothing));
  return first(v128.andnot(f32x4.div(f32x4.splat(1), factor), nothing));
}

function normOf(row: usize, count: i32): f32 {
  let squares = f32x4.splat(0);
  for (let i: usize = 0; i < <usize>count << 2; i += 16) {
    const x = v128.load(row + i);
    squares = f32x4.relaxed_madd(x, x, squares);
  }
  return sqrt<f32>(first(horizontalSum(squares)));
}

function largestOf(row: usize, count: i32): f32 {
  let largest = f32x4.splat(0);
  for (let i: usize = 0; i < <usize>count << 2; i += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(row + i)));
  return first(horizontalMax(largest));
}

/**
 * Converts float32 numbers times `factor` to int16, in place, eight at a time. It may read beyond
 * the last four, but does not use what it reads.
 */
// @ts-ignore: decorator
@inline
function narrow(row: usize, bytes: usize, factor: v128): void {
  let out = row;
  for (let i: usize = 0; i < bytes; i += 32) {
    v128.store(out, integersOf(row + i, factor));
    out += 16;
  }
}

/** Eight float32 numbers times `factor` as int16. */
// @ts-ignore: decorator
@inline
export function integersOf(floats: usize, factor: v128): v128 {
  const low = roundToInt(f32x4.mul(v128.load(floats), factor));
  const high = roundToInt(f32x4.mul(v128.load(floats, 16), factor));
  return i16x8.narrow_i32x4_s(low, high);
}
