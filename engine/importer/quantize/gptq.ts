import { type InputBlock, inputBlocks } from './calibration.js';

// GPTQ (Frantar et al. 2022, "GPTQ: Accurate post-training quantization for generative pre-trained
// transformers"): columns of a weight are rounded one after the other, and the columns that follow
// make up for the error of each, as far as the inputs of calibration texts allow it.

/** Share of the mean diagonal that is added to it: texts show few of all directions. */
const DAMPING = 0.01;

/** The upper triangle U, `[size, size]`, with U^T U the inverse of a block's damped moments. */
export interface FactoredBlock extends InputBlock {
  readonly factor: Float64Array;
}

/**
 * @param moments see `MomentSource`
 * @returns null when a number is not finite
 */
export function factorBlocks(
  width: number,
  moments: readonly Float32Array[],
): FactoredBlock[] | null {
  const blocks = inputBlocks(width).map(({ start, size }, i): FactoredBlock => {
    const factor = inverseFactor(Float64Array.from(moments[i]), size);
    return { start, size, factor };
  });
  return blocks.every(({ factor }) => factor.every(Number.isFinite)) ? blocks : null;
}

/**
 * Factors the inverse of sums of x x^T.
 *
 * @param moments `[size, size]`, overwritten. Inputs that were always 0 get 1: they are rounded
 *   like any other, and nothing makes up for them
 * @returns the same array: U in its upper triangle, anything below
 */
export function inverseFactor(moments: Float64Array, size: number): Float64Array {
  const diagonal = size + 1;
  let mean = 0;
  for (let i = 0; i < size; i++) mean += moments[i * diagonal] / size;
  for (let i = 0; i < size; i++) {
    if (moments[i * diagonal] === 0) moments[i * diagonal] = 1;
    moments[i * diagonal] += DAMPING * mean;
  }
  factorFromLast(moments, size);
  invertUpper(moments, size);
  return moments;
}

/** Cholesky's way from the last column on: H = V V^T with V an upper triangle. */
function factorFromLast(h: Float64Array, size: number): void {
  for (let j = size - 1; j >= 0; j--) {
    const own = j * size;
    const behind = size - j - 1;
    const pivot = Math.sqrt(h[own + j] - dot(h, own + j + 1, h, own + j + 1, behind));
    h[own + j] = pivot;
    for (let i = 0; i < j; i++) {
      const at = i * size + j;
      h[at] = (h[at] - dot(h, at + 1, h, own + j + 1, behind)) / pivot;
    }
  }
}

/** H^-1 = V^-T V^-1, so that U is the inverse of V. */
function invertUpper(v: Float64Array, size: number): void {
  // A column in one piece: through the matrix, each of its numbers lies in another line of cache.
  const column = new Float64Array(size);
  for (let j = 0; j < size; j++) {
    for (let k = 0; k < j; k++) column[k] = v[k * size + j];
    const inverse = 1 / v[j * size + j];
    for (let i = 0; i < j; i++) {
      const row = i * size;
      v[row + j] = -dot(v, row + i, column, i, j - i) * inverse;
    }
    v[j * size + j] = inverse;
  }
}

/** Sum of `count` products. Four sums at a time, since each waits for its own last one only. */
function dot(a: Float64Array, at: number, b: Float64Array, from: number, count: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = 0;
  for (; k + 4 <= count; k += 4) {
    s0 += a[at + k] * b[from + k];
    s1 += a[at + k + 1] * b[from + k + 1];
    s2 += a[at + k + 2] * b[from + k + 2];
    s3 += a[at + k + 3] * b[from + k + 3];
  }
  for (; k < count; k++) s0 += a[at + k] * b[from + k];
  return s0 + s1 + s2 + s3;
}

/** Gives the scale of a group by its weights as they are when its turn comes. */
export type ScaleOf = (weights: Float64Array) => number;

/** Whole numbers around 0, and a scale for each group. */
export interface RoundedRows {
  /** `[rows, width]` */
  readonly values: Int8Array;
  /** `[rows, width / group]` */
  readonly scales: Float32Array;
}

/**
 * Rounds some rows of a weight.
 *
 * @param rows `[count, width]`, overwritten
 * @param group a multiple of 4
 */
export function roundByMoments(
  rows: Float64Array,
  width: number,
  blocks: readonly FactoredBlock[],
  { bits, group }: { readonly bits: 4 | 8; readonly group: number },
  scaleOf: ScaleOf,
): RoundedRows {
  const values = new Int8Array(rows.length);
  const scales = new Float32Array(rows.length / group);
  const [least, most] = bits === 4 ? [-8, 7] : [-127, 127];
  const errors = new Float64Array(group);
  for (const { start, size, factor } of blocks) {
    // All rows of a group before the next one: they read the same rows of the factor.
    for (let g = 0; g < size; g += group) {
      for (let row = start; row < rows.length; row += width) {
        const at = row + g;
        const scale = Math.fround(scaleOf(rows.subarray(at, at + group)));
        scales[at / group] = scale;
        for (let i = 0; i < group; i++) {
          const own = (g + i) * size + g;
          const x = rows[at + i];
          const q = scale === 0 ? 0 : Math.min(most, Math.max(least, Math.round(x / scale)));
          values[at + i] = q;
          const error = (x - q * scale) / factor[own + i];
          errors[i] = error;
          for (let j = i + 1; j < group; j++) rows[at + j] -= error * factor[own + j];
        }
        spread(errors, factor, size, g, rows, row);
      }
    }
  }
  return { values, scales };
}

/** Lets the inputs behind a group make up for its errors, four of them at a time. */
function spread(
  errors: Float64Array,
  factor: Float64Array,
  size: number,
  first: number,
  rows: Float64Array,
  row: number,
): void {
  for (let i = 0; i < errors.length; i += 4) {
    const [a, b, c, d] = [errors[i], errors[i + 1], errors[i + 2], errors[i + 3]];
    const at = (first + i) * size;
    for (let j = first + errors.length; j < size; j++) {
      rows[row + j] -=
        a * factor[at + j] +
        b * factor[at + size + j] +
        c * factor[at + 2 * size + j] +
        d * factor[at + 3 * size + j];
    }
  }
}
