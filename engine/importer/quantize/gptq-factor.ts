import type { InputBlock } from './calibration.js';

// How much each input can make up for the rounding errors of those before it (gptq.ts).

/** Share of the mean diagonal that is added to it: texts show few of all directions. */
const DAMPING = 0.01;

/** The upper triangle U, `[size, size]`, with U^T U the inverse of a block's damped moments. */
export interface FactoredBlock extends InputBlock {
  readonly factor: Float32Array;
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
