import { FORMAT_BF16, FORMAT_F32, FORMAT_INT16 } from './layout';

/** Bytes of one number in a page. */
// @ts-ignore: decorator
@inline
export function elementSize(format: i32): usize {
  return format == FORMAT_F32 ? 4 : format == FORMAT_BF16 || format == FORMAT_INT16 ? 2 : 1;
}

/**
 * Whether pages hold integers with a scale for each token and head. They are multiplied as
 * integers: two adjacent terms of a sum are adjacent in the pages.
 */
// @ts-ignore: decorator
@inline
export function isInteger(format: i32): bool {
  return format >= FORMAT_INT16;
}

/**
 * Widens `count` (a multiple of 8) floats of a page to float32, once for all rows that read them.
 *
 * @returns address of the float32 numbers: the page itself when it already holds float32
 */
export function widenFloats(page: usize, format: i32, count: i32, scratch: usize): usize {
  if (format == FORMAT_F32) return page;
  const end = scratch + (<usize>count << 2);
  const zero = i32x4.splat(0);
  for (let out = scratch; out < end; out += 32) {
    const x = v128.load(page);
    // Zeros in the lower half, the number in the upper half.
    v128.store(out, i16x8.shuffle(zero, x, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(out, i16x8.shuffle(zero, x, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    page += 16;
  }
  return scratch;
}

/**
 * Widens `count` (a multiple of 16) integers of a page to int16.
 *
 * @returns their address, as above
 */
export function widenIntegers(page: usize, format: i32, count: i32, scratch: usize): usize {
  if (format == FORMAT_INT16) return page;
  const end = scratch + (<usize>count << 1);
  for (let out = scratch; out < end; out += 32) {
    const x = v128.load(page);
    v128.store(out, i16x8.extend_low_i8x16_s(x));
    v128.store(out, i16x8.extend_high_i8x16_s(x), 16);
    page += 16;
  }
  return scratch;
}

/** The upper 16 bits of a float32, rounded to nearest, ties to even. */
// @ts-ignore: decorator
@inline
export function toBf16(x: f32): u16 {
  const bits = reinterpret<u32>(x);
  return <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
