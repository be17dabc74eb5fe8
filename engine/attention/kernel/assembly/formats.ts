import { FORMAT_BF16, FORMAT_F32 } from './layout';

/** Bytes of one number in a page. */
// @ts-ignore: decorator
@inline
export function elementSize(format: i32): usize {
  return format == FORMAT_F32 ? 4 : format == FORMAT_BF16 ? 2 : 1;
}

/**
 * Widens `count` (a multiple of 8) numbers of a page to float32, once for all rows that read them. int8 is widened without its scales:
 * they are factors of whole tokens, and cheaper to apply to scores and weights.
 *
 * @returns where the float32 numbers are: the page itself when it holds them already
 */
export function widen(page: usize, format: i32, count: i32, scratch: usize): usize {
  if (format == FORMAT_F32) return page;
  const end = scratch + (<usize>count << 2);
  let out = scratch;
  if (format == FORMAT_BF16) {
    const zero = i32x4.splat(0);
    while (out < end) {
      const x = v128.load(page);
      // Zeros below, the number above.
      v128.store(out, i16x8.shuffle(zero, x, 0, 8, 1, 9, 2, 10, 3, 11));
      v128.store(out, i16x8.shuffle(zero, x, 4, 12, 5, 13, 6, 14, 7, 15), 16);
      page += 16; out += 32;
    }
    return scratch;
  }
  while (out < end) {
    const x = v128.load_ext<i8>(page);
    v128.store(out, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(x)));
    v128.store(out, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(x)), 16);
    page += 8; out += 32;
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
