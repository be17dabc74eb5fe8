/**
 * Numbers of 16 bits as float32. `count` is rounded up to a multiple of 8; memory behind is read
 * and written that far.
 */
export function widenAll(source: usize, isBfloat: bool, count: usize, target: usize): void {
  const zero = i32x4.splat(0);
  for (let i: usize = 0; i < count; i += 8) {
    const halves = v128.load(source + (i << 1));
    const at = target + (i << 2);
    if (isBfloat) {
      // A bfloat16 is the upper half of a float32.
      v128.store(at, i16x8.shuffle(zero, halves, 0, 8, 1, 9, 2, 10, 3, 11));
      v128.store(at, i16x8.shuffle(zero, halves, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    } else {
      v128.store(at, fromFloat16(i32x4.extend_low_i16x8_u(halves)));
      v128.store(at, fromFloat16(i32x4.extend_high_i16x8_u(halves)), 16);
    }
  }
}

/** Four float16 numbers, each in the lower half of a lane. */
// @ts-ignore: decorator
@inline
function fromFloat16(bits: v128): v128 {
  const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16);
  const rest = v128.and(bits, i32x4.splat(0x7fff));
  // Exponent and fraction in a float32's places; the exponents differ by 112.
  const value = f32x4.mul(i32x4.shl(rest, 13), f32x4.splat(reinterpret<f32>((127 + 112) << 23)));
  const isFinite = i32x4.lt_s(rest, i32x4.splat(0x7c00));
  const notFinite = v128.or(i32x4.shl(rest, 13), i32x4.splat(0x7f800000));
  return v128.or(sign, v128.bitselect(value, notFinite, isFinite));
}
