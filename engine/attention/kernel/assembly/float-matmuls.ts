// The two products of attention, over one block. Both have the same inner loop: a panel of 16
// columns in four vectors, two rows at a time, so that eight accumulators, four panel vectors and
// two scalars fill the sixteen registers.

/**
 * scores[r][c] = sum over d of queries[r][d] * keys[d][c], for all `columns` of a block.
 *
 * @param keys    float32 `[headSize][columns]`
 * @param queries `[rows][headSize]`
 * @param scores  rows `scoreStride` bytes apart
 */
export function scoreFloats(
  keys: usize, columns: i32, queries: usize, rows: i32, headSize: i32, scores: usize, scoreStride: usize,
): void {
  let column = 0;
  for (; column + 16 <= columns; column += 16) {
    panel16(keys + (<usize>column << 2), <usize>columns << 2, queries, <usize>headSize << 2, rows, headSize,
      scores + (<usize>column << 2), scoreStride, false);
  }
  for (; column < columns; column += 4) {
    panel4(keys + (<usize>column << 2), <usize>columns << 2, queries, <usize>headSize << 2, rows, headSize,
      scores + (<usize>column << 2), scoreStride, false);
  }
}

/**
 * output[r][d] += sum over t of weights[r][t] * values[t][d], for the first `tokens` tokens of a
 * block. Later slots may hold anything, and are not read.
 *
 * @param values float32 `[blockSize][headSize]`
 * @param output rows `outputStride` bytes apart
 */
export function accumulateFloats(
  values: usize, tokens: i32, weights: usize, weightStride: usize, rows: i32, headSize: i32, output: usize,
  outputStride: usize,
): void {
  const stride = <usize>headSize << 2;
  let column = 0;
  for (; column + 16 <= headSize; column += 16) {
    panel16(values + (<usize>column << 2), stride, weights, weightStride, rows, tokens,
      output + (<usize>column << 2), outputStride, true);
  }
  for (; column < headSize; column += 4) {
    panel4(values + (<usize>column << 2), stride, weights, weightStride, rows, tokens,
      output + (<usize>column << 2), outputStride, true);
  }
}

/** out[r][0..16) (+)= sum over i < depth of left[r][i] * right[i][0..16) */
// @ts-ignore: decorator
@inline
function panel16(
  right: usize, rightStride: usize, left: usize, leftStride: usize, rows: i32, depth: i32,
  out: usize, outStride: usize, add: bool,
): void {
  let r = 0;
  for (; r + 1 < rows; r += 2) {
    const o0 = out + <usize>r * outStride;
    const o1 = o0 + outStride;
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    if (add) {
      a0 = v128.load(o0); a1 = v128.load(o0, 16); a2 = v128.load(o0, 32); a3 = v128.load(o0, 48);
      b0 = v128.load(o1); b1 = v128.load(o1, 16); b2 = v128.load(o1, 32); b3 = v128.load(o1, 48);
    }
    let p = right;
    let x = left + <usize>r * leftStride;
    let y = x + leftStride;
    const end = x + (<usize>depth << 2);
    while (x < end) {
      const r0 = v128.load(p), r1 = v128.load(p, 16), r2 = v128.load(p, 32), r3 = v128.load(p, 48);
      const s = v128.load32_splat(x), t = v128.load32_splat(y);
      a0 = f32x4.relaxed_madd(r0, s, a0); b0 = f32x4.relaxed_madd(r0, t, b0);
      a1 = f32x4.relaxed_madd(r1, s, a1); b1 = f32x4.relaxed_madd(r1, t, b1);
      a2 = f32x4.relaxed_madd(r2, s, a2); b2 = f32x4.relaxed_madd(r2, t, b2);
      a3 = f32x4.relaxed_madd(r3, s, a3); b3 = f32x4.relaxed_madd(r3, t, b3);
      p += rightStride; x += 4; y += 4;
    }
    v128.store(o0, a0); v128.store(o0, a1, 16); v128.store(o0, a2, 32); v128.store(o0, a3, 48);
    v128.store(o1, b0); v128.store(o1, b1, 16); v128.store(o1, b2, 32); v128.store(o1, b3, 48);
  }
  if (r < rows) {
    const o = out + <usize>r * outStride;
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    if (add) {
      a0 = v128.load(o); a1 = v128.load(o, 16); a2 = v128.load(o, 32); a3 = v128.load(o, 48);
    }
    let p = right;
    let x = left + <usize>r * leftStride;
    const end = x + (<usize>depth << 2);
    while (x < end) {
      const s = v128.load32_splat(x);
      a0 = f32x4.relaxed_madd(v128.load(p), s, a0);
      a1 = f32x4.relaxed_madd(v128.load(p, 16), s, a1);
      a2 = f32x4.relaxed_madd(v128.load(p, 32), s, a2);
      a3 = f32x4.relaxed_madd(v128.load(p, 48), s, a3);
      p += rightStride; x += 4;
    }
    v128.store(o, a0); v128.store(o, a1, 16); v128.store(o, a2, 32); v128.store(o, a3, 48);
  }
}

/** The same for four remaining columns, when they are fewer than a panel of 16. */
// @ts-ignore: decorator
@inline
function panel4(
  right: usize, rightStride: usize, left: usize, leftStride: usize, rows: i32, depth: i32,
  out: usize, outStride: usize, add: bool,
): void {
  for (let r = 0; r < rows; r++) {
    const o = out + <usize>r * outStride;
    let a = add ? v128.load(o) : f32x4.splat(0);
    let p = right;
    let x = left + <usize>r * leftStride;
    const end = x + (<usize>depth << 2);
    while (x < end) {
      a = f32x4.relaxed_madd(v128.load(p), v128.load32_splat(x), a);
      p += rightStride; x += 4;
    }
    v128.store(o, a);
  }
}
