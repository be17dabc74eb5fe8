// The products of attention in integers: `i32x4.dot_i16x8_s` multiplies and adds eight pairs where
// a float32 vector has room for four, and integer sums are exact, whatever their order. Bounds, so
// that no sum of 32 bits overflows:
//
//   scores   q and k are scaled to a Euclidean norm of 32,767 (k of int8 pages: at most
//            127 * 23), so |q.k| <= |q| |k|, at most about 2^30 (Cauchy-Schwarz) for any head size
//   outputs  |v| <= 8,191 (int8: 127), and the weights of a tile sum up to at most 250,000:
//            together below 2^31

/**
 * scores[r][c] = queries[r] . keys[c] for all columns of a block, scaled back to float32.
 *
 * @param piece     holds the address of the block's keys, int16 `[headSize / 2][columns][2]`
 * @param queries   int16, rows `queryStride` bytes apart
 * @param keyScales `[columns]`
 */
export function scoreIntegers(
  piece: usize, columns: i32, queries: usize, queryStride: usize, queryScales: usize, rows: i32, headSize: i32,
  keyScales: usize, scores: usize, scoreStride: usize,
): void {
  const pairs = headSize >> 1;
  const stride = <usize>columns << 2;
  let column = 0;
  for (; column + 16 <= columns; column += 16) {
    const at = <usize>column << 2;
    panel16(piece, 1, at, stride, pairs, pairs, queries, queryStride, rows, queryScales, keyScales + at, scores + at, scoreStride, false);
  }
  for (; column < columns; column += 4) {
    const at = <usize>column << 2;
    panel4(piece, 1, at, stride, pairs, pairs, queries, queryStride, rows, queryScales, keyScales + at, scores + at, scoreStride, false);
  }
}

/**
 * output[r] += sum over t of weights[r][t] * values[t], over the blocks of a tile.
 *
 * @param pieces addresses of the blocks' values, int16 `[blockSize / 2][headSize][2]`
 * @param lastPairs pairs of tokens of the last block that are read; an odd token is paired with one
 *   of weight 0
 * @param weights int16, rows `weightStride` bytes apart
 * @param output rows `outputStride` bytes apart
 */
export function accumulateIntegers(
  pieces: usize, numPieces: i32, pairs: i32, lastPairs: i32, weights: usize, weightStride: usize, weightScales: usize,
  rows: i32, headSize: i32, output: usize, outputStride: usize,
): void {
  const stride = <usize>headSize << 2;
  let column = 0;
  for (; column + 16 <= headSize; column += 16) {
    const at = <usize>column << 2;
    panel16(pieces, numPieces, at, stride, pairs, lastPairs, weights, weightStride, rows, weightScales, 0,
      output + at, outputStride, true);
  }
  for (; column < headSize; column += 4) {
    const at = <usize>column << 2;
    panel4(pieces, numPieces, at, stride, pairs, lastPairs, weights, weightStride, rows, weightScales, 0,
      output + at, outputStride, true);
  }
}

/**
 * out[r][0..16) (+)= scale[r] * scale[c] * sum over pieces and i < depth of left[r][i] *
 * right[i][0..16), where each i is a pair of numbers. Two rows at a time: eight accumulators, two
 * scalars, a vector of the panel and its product.
 */
// @ts-ignore: decorator
@inline
function panel16(
  pieces: usize, numPieces: i32, offset: usize, stride: usize, depth: i32, lastDepth: i32, left: usize, leftStride: usize,
  rows: i32, rowScales: usize, columnScales: usize, out: usize, outStride: usize, add: bool,
): void {
  let r = 0;
  for (; r + 1 < rows; r += 2) {
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    let x = left + <usize>r * leftStride;
    let y = x + leftStride;
    for (let piece = 0; piece < numPieces; piece++) {
      let p = <usize>load<u32>(pieces + (<usize>piece << 2)) + offset;
      const end = x + (<usize>(piece + 1 < numPieces ? depth : lastDepth) << 2);
      while (x < end) {
        const s = v128.load32_splat(x), t = v128.load32_splat(y);
        const r0 = v128.load(p);
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(r0, s)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(r0, t));
        const r1 = v128.load(p, 16);
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(r1, s)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(r1, t));
        const r2 = v128.load(p, 32);
        a2 = i32x4.add(a2, i32x4.dot_i16x8_s(r2, s)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(r2, t));
        const r3 = v128.load(p, 48);
        a3 = i32x4.add(a3, i32x4.dot_i16x8_s(r3, s)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(r3, t));
        p += stride; x += 4; y += 4;
      }
    }
    const o = out + <usize>r * outStride;
    const scale = rowScales + (<usize>r << 2);
    finish16(o, v128.load32_splat(scale), columnScales, a0, a1, a2, a3, add);
    finish16(o + outStride, v128.load32_splat(scale, 4), columnScales, b0, b1, b2, b3, add);
  }
  if (r < rows) {
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    let x = left + <usize>r * leftStride;
    for (let piece = 0; piece < numPieces; piece++) {
      let p = <usize>load<u32>(pieces + (<usize>piece << 2)) + offset;
      const end = x + (<usize>(piece + 1 < numPieces ? depth : lastDepth) << 2);
      while (x < end) {
        const s = v128.load32_splat(x);
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load(p), s));
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load(p, 16), s));
        a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load(p, 32), s));
        a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load(p, 48), s));
        p += stride; x += 4;
      }
    }
    finish16(out + <usize>r * outStride, v128.load32_splat(rowScales + (<usize>r << 2)), columnScales, a0, a1, a2, a3, add);
  }
}

// @ts-ignore: decorator
@inline
function finish16(out: usize, scale: v128, columnScales: usize, s0: v128, s1: v128, s2: v128, s3: v128, add: bool): void {
  finish4(out, scale, columnScales, s0, add);
  finish4(out + 16, scale, columnScales + 16, s1, add);
  finish4(out + 32, scale, columnScales + 32, s2, add);
  finish4(out + 48, scale, columnScales + 48, s3, add);
}

/**
 * Converts sums to float32 and adds them to the output, or stores them multiplied by the columns'
 * scales.
 */
// @ts-ignore: decorator
@inline
function finish4(out: usize, scale: v128, columnScales: usize, sums: v128, add: bool): void {
  const x = f32x4.convert_i32x4_s(sums);
  v128.store(out, add ? f32x4.relaxed_madd(x, scale, v128.load(out)) : f32x4.mul(f32x4.mul(x, scale), v128.load(columnScales)));
}

/** The same for four remaining columns, when they are fewer than a panel of 16. */
// @ts-ignore: decorator
@inline
function panel4(
  pieces: usize, numPieces: i32, offset: usize, stride: usize, depth: i32, lastDepth: i32, left: usize, leftStride: usize,
  rows: i32, rowScales: usize, columnScales: usize, out: usize, outStride: usize, add: bool,
): void {
  for (let r = 0; r < rows; r++) {
    let a = i32x4.splat(0);
    let x = left + <usize>r * leftStride;
    for (let piece = 0; piece < numPieces; piece++) {
      let p = <usize>load<u32>(pieces + (<usize>piece << 2)) + offset;
      const end = x + (<usize>(piece + 1 < numPieces ? depth : lastDepth) << 2);
      while (x < end) {
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load(p), v128.load32_splat(x)));
        p += stride; x += 4;
      }
    }
    finish4(out + <usize>r * outStride, v128.load32_splat(rowScales + (<usize>r << 2)), columnScales, a, add);
  }
}
