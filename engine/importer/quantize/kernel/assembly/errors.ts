/**
 * Lets inputs make up for rounding errors of others: `target -= errors * factor`, for each of some
 * rows.
 *
 * @param errors `[rows, count]`, count a multiple of 4
 * @param factor `[count, columns]`, a row every `factorStride` bytes
 * @param target `[rows, columns]`, a row every `stride` bytes; columns a multiple of 4
 */
export function spreadErrors(
  errors: usize, rows: i32, count: usize, factor: usize, factorStride: usize,
  target: usize, stride: usize, columns: usize,
): void {
  const width = columns << 2;
  const own = count << 2;
  let row = 0;
  // Four rows read the same numbers of the factor.
  for (; row + 4 <= rows; row += 4) {
    for (let i: usize = 0; i < count; i += 4) {
      spreadFour(errors + (i << 2), own, factor + i * factorStride, factorStride, target, stride, width);
    }
    errors += own << 2;
    target += stride << 2;
  }
  for (; row < rows; row++) {
    for (let i: usize = 0; i < count; i += 4) {
      spreadOne(errors + (i << 2), factor + i * factorStride, factorStride, target, width);
    }
    errors += own;
    target += stride;
  }
}

/** Four errors of each of four rows. */
// @ts-ignore: decorator
@inline
function spreadFour(
  errors: usize, own: usize, factor: usize, factorStride: usize, target: usize, stride: usize, width: usize,
): void {
  const a = v128.load(errors);
  const b = v128.load(errors + own);
  const c = v128.load(errors + (own << 1));
  const d = v128.load(errors + own * 3);
  const factor1 = factor + factorStride;
  const factor2 = factor1 + factorStride;
  const factor3 = factor2 + factorStride;
  const target1 = target + stride;
  const target2 = target1 + stride;
  const target3 = target2 + stride;
  for (let j: usize = 0; j < width; j += 16) {
    const f0 = v128.load(factor + j);
    const f1 = v128.load(factor1 + j);
    const f2 = v128.load(factor2 + j);
    const f3 = v128.load(factor3 + j);
    v128.store(target + j, f32x4.sub(v128.load(target + j), sumOf(a, f0, f1, f2, f3)));
    v128.store(target1 + j, f32x4.sub(v128.load(target1 + j), sumOf(b, f0, f1, f2, f3)));
    v128.store(target2 + j, f32x4.sub(v128.load(target2 + j), sumOf(c, f0, f1, f2, f3)));
    v128.store(target3 + j, f32x4.sub(v128.load(target3 + j), sumOf(d, f0, f1, f2, f3)));
  }
}

// @ts-ignore: decorator
@inline
function spreadOne(errors: usize, factor: usize, factorStride: usize, target: usize, width: usize): void {
  const a = v128.load(errors);
  for (let j: usize = 0; j < width; j += 16) {
    const f0 = v128.load(factor + j);
    const f1 = v128.load(factor + factorStride + j);
    const f2 = v128.load(factor + (factorStride << 1) + j);
    const f3 = v128.load(factor + factorStride * 3 + j);
    v128.store(target + j, f32x4.sub(v128.load(target + j), sumOf(a, f0, f1, f2, f3)));
  }
}

/** The same order of sums for each row, whatever rows are beside it. */
// @ts-ignore: decorator
@inline
function sumOf(errors: v128, f0: v128, f1: v128, f2: v128, f3: v128): v128 {
  const first = f32x4.add(
    f32x4.mul(i32x4.shuffle(errors, errors, 0, 0, 0, 0), f0),
    f32x4.mul(i32x4.shuffle(errors, errors, 1, 1, 1, 1), f1),
  );
  const second = f32x4.add(
    f32x4.mul(i32x4.shuffle(errors, errors, 2, 2, 2, 2), f2),
    f32x4.mul(i32x4.shuffle(errors, errors, 3, 3, 3, 3), f3),
  );
  return f32x4.add(first, second);
}
