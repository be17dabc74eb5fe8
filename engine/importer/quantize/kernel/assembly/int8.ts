import { largestLane, magnitudeOf, magnitudes, scaled, scaledOne, toInt8 } from './numbers';

// Symmetric int8 numbers with one scale for each output. Factors, the inverses of scales, are
// float64.

/** Rows that are turned at a time: their bytes of a column fill a cache line. */
const TILE = 64;

/** The largest magnitude of each row; not finite where one of its numbers is not. */
export function rowMaxima(floats: usize, rows: i32, columns: i32, largest: usize): void {
  const bytes = <usize>columns << 2;
  for (let r = 0; r < rows; r++) {
    const row = floats + <usize>r * bytes;
    let most = i32x4.splat(0);
    let at: usize = 0;
    for (; at + 16 <= bytes; at += 16) most = i32x4.max_s(most, magnitudes(v128.load(row + at)));
    let one = largestLane(most);
    for (; at < bytes; at += 4) one = max(one, magnitudeOf(load<i32>(row + at)));
    store<i32>(largest + (<usize>r << 2), one);
  }
}

/** The same for each column; `largest` has those of earlier rows. */
export function columnMaxima(floats: usize, rows: i32, columns: i32, largest: usize): void {
  const bytes = <usize>columns << 2;
  for (let r = 0; r < rows; r++) {
    const row = floats + <usize>r * bytes;
    let at: usize = 0;
    for (; at + 16 <= bytes; at += 16) {
      v128.store(largest + at, i32x4.max_s(v128.load(largest + at), magnitudes(v128.load(row + at))));
    }
    for (; at < bytes; at += 4) {
      store<i32>(largest + at, max(load<i32>(largest + at), magnitudeOf(load<i32>(row + at))));
    }
  }
}

/** Rounds columns `first` to `end - 1` of each row times the row's factor. */
export function roundByRow(
  floats: usize, rows: i32, columns: i32, first: i32, end: i32, factors: usize, target: usize,
): void {
  const width = <usize>(end - first);
  for (let r = 0; r < rows; r++) {
    const row = floats + (<usize>(r * columns + first) << 2);
    const factor = load<f64>(factors + (<usize>r << 3));
    const factor2 = f64x2.splat(factor);
    const out = target + <usize>r * width;
    let c: usize = 0;
    for (; c + 16 <= width; c += 16) v128.store(out + c, toInt8(row + (c << 2), factor2));
    for (; c < width; c++) store<i8>(out + c, <i8>scaledOne(load<f32>(row + (c << 2)), factor));
  }
}

/** Rounds each row times the factors of its columns. */
export function roundByColumn(floats: usize, rows: i32, columns: i32, factors: usize, target: usize): void {
  const width = <usize>columns;
  for (let r = 0; r < rows; r++) {
    const row = floats + ((<usize>r * width) << 2);
    const out = target + <usize>r * width;
    let c: usize = 0;
    for (; c + 16 <= width; c += 16) {
      const low = i16x8.narrow_i32x4_s(byColumn(row, factors, c), byColumn(row, factors, c + 4));
      const high = i16x8.narrow_i32x4_s(byColumn(row, factors, c + 8), byColumn(row, factors, c + 12));
      v128.store(out + c, i8x16.narrow_i16x8_s(low, high));
    }
    for (; c < width; c++) {
      store<i8>(out + c, <i8>scaledOne(load<f32>(row + (c << 2)), load<f64>(factors + (c << 3))));
    }
  }
}

/** Four numbers of a row, from column c on. */
// @ts-ignore: decorator
@inline
function byColumn(row: usize, factors: usize, c: usize): v128 {
  const own = factors + (c << 3);
  return scaled(v128.load(row + (c << 2)), v128.load(own), v128.load(own, 16));
}

/**
 * Rounds columns `first` to `end - 1` of rows, and writes column c as a run of bytes at
 * `target + (c - first) * stride`.
 *
 * @param scratch memory for 64 rows of rounded numbers, and 512 bytes behind
 */
export function roundTurned(
  floats: usize, rows: i32, columns: i32, first: i32, end: i32, factors: usize, scratch: usize, target: usize,
  stride: usize,
): void {
  const width = end - first;
  const turned = scratch + <usize>(TILE * width);
  for (let tile = 0; tile < rows; tile += TILE) {
    const count = min(TILE, rows - tile);
    const tileFloats = floats + (<usize>(tile * columns) << 2);
    roundByRow(tileFloats, count, columns, first, end, factors + (<usize>tile << 3), scratch);
    const wholeRows = count & ~15;
    const wholeColumns = width & ~15;
    for (let c = 0; c < wholeColumns; c += 16) {
      const out = target + <usize>c * stride + <usize>tile;
      for (let r = 0; r < wholeRows; r += 16) {
        turn(scratch + <usize>(r * width + c), <usize>width, turned, out + <usize>r, stride);
      }
    }
    for (let c = 0; c < width; c++) {
      const out = target + <usize>c * stride + <usize>tile;
      for (let r = c < wholeColumns ? wholeRows : 0; r < count; r++) {
        store<u8>(out + <usize>r, load<u8>(scratch + <usize>(r * width + c)));
      }
    }
  }
}

/**
 * Transposes 16 x 16 bytes. To interleave the bytes of rows i and i + 8, as new rows 2i and 2i + 1,
 * moves one bit of a byte's row number into its column number; four times is all.
 */
// @ts-ignore: decorator
@inline
function turn(source: usize, step: usize, memory: usize, target: usize, stride: usize): void {
  interleave(source, step, memory, 16);
  interleave(memory, 16, memory + 256, 16);
  interleave(memory + 256, 16, memory, 16);
  interleave(memory, 16, target, stride);
}

// @ts-ignore: decorator
@inline
function interleave(source: usize, step: usize, target: usize, stride: usize): void {
  for (let i: usize = 0; i < 8; i++) {
    const a = v128.load(source + i * step);
    const b = v128.load(source + (i + 8) * step);
    const out = target + 2 * i * stride;
    v128.store(out, i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    v128.store(out + stride, i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  }
}
