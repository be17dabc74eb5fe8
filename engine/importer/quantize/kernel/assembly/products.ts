/** Products that are summed before a target is read and written: rows of it stay in the cache. */
const CHUNK: usize = 256 * 8;

/**
 * Products of rows with rows, in float64: `target[i][j] -= sum over k of left[i][k] right[j][k]`.
 * Strides are bytes between rows.
 *
 * @param count of k; a multiple of 2
 * @param rows a multiple of 4
 * @param columns a multiple of 2
 */
export function subtractProducts(
  left: usize, leftStride: usize, right: usize, rightStride: usize, count: usize,
  target: usize, targetStride: usize, rows: usize, columns: usize,
): void {
  const width = count << 3;
  for (let first: usize = 0; first < width; first += CHUNK) {
    const bytes = min(CHUNK, width - first);
    for (let i: usize = 0; i < rows; i += 4) {
      const own = left + i * leftStride + first;
      const out = target + i * targetStride;
      for (let j: usize = 0; j < columns; j += 2) {
        subtractTile(own, leftStride, right + j * rightStride + first, rightStride, bytes, out + (j << 3), targetStride);
      }
    }
  }
}

/** Four rows by two columns: eight sums at a time, as many as registers hold. */
// @ts-ignore: decorator
@inline
function subtractTile(
  left: usize, leftStride: usize, right: usize, rightStride: usize, bytes: usize, target: usize, stride: usize,
): void {
  const left1 = left + leftStride;
  const left2 = left1 + leftStride;
  const left3 = left2 + leftStride;
  const right1 = right + rightStride;
  let a0 = f64x2.splat(0);
  let a1 = f64x2.splat(0);
  let b0 = f64x2.splat(0);
  let b1 = f64x2.splat(0);
  let c0 = f64x2.splat(0);
  let c1 = f64x2.splat(0);
  let d0 = f64x2.splat(0);
  let d1 = f64x2.splat(0);
  for (let k: usize = 0; k < bytes; k += 16) {
    const r0 = v128.load(right + k);
    const r1 = v128.load(right1 + k);
    let x = v128.load(left + k);
    a0 = f64x2.add(a0, f64x2.mul(x, r0));
    a1 = f64x2.add(a1, f64x2.mul(x, r1));
    x = v128.load(left1 + k);
    b0 = f64x2.add(b0, f64x2.mul(x, r0));
    b1 = f64x2.add(b1, f64x2.mul(x, r1));
    x = v128.load(left2 + k);
    c0 = f64x2.add(c0, f64x2.mul(x, r0));
    c1 = f64x2.add(c1, f64x2.mul(x, r1));
    x = v128.load(left3 + k);
    d0 = f64x2.add(d0, f64x2.mul(x, r0));
    d1 = f64x2.add(d1, f64x2.mul(x, r1));
  }
  subtractPair(target, a0, a1);
  subtractPair(target + stride, b0, b1);
  subtractPair(target + (stride << 1), c0, c1);
  subtractPair(target + stride * 3, d0, d1);
}

/** Subtracts the sum of each vector's lanes. */
// @ts-ignore: decorator
@inline
function subtractPair(target: usize, a: v128, b: v128): void {
  const sums = f64x2.add(i64x2.shuffle(a, b, 0, 2), i64x2.shuffle(a, b, 1, 3));
  v128.store(target, f64x2.sub(v128.load(target), sums));
}
