import type { KvDtype } from './paged-attention.js';

// Rounds a row of K or V (one token, one head) as storing it and reading it back does. All
// implementations round alike; only scales that are Euclidean norms may differ in their last bit,
// by the order of the sum.

/** @param row `[headSize]`, changed in place */
export function roundKey(row: Float32Array, kvDtype: KvDtype): void {
  if (kvDtype === 'bf16') roundToBf16(row);
  else if (kvDtype === 'int16') roundToScale(row, norm(row) / 32767);
  else if (kvDtype === 'int8') roundToScale(row, largest(row) / 127);
}

/** @param row `[headSize]`, changed in place */
export function roundValue(row: Float32Array, kvDtype: KvDtype): void {
  if (kvDtype === 'bf16') roundToBf16(row);
  else if (kvDtype === 'int16') roundToScale(row, largest(row) / 8191);
  else if (kvDtype === 'int8') roundToScale(row, largest(row) / 127);
}

/** Keeps the upper 16 bits, rounded to nearest, ties to even: a relative error of at most 2^-8. */
function roundToBf16(row: Float32Array): void {
  const bits = new Uint32Array(row.buffer, row.byteOffset, row.length);
  for (let i = 0; i < bits.length; i++) {
    bits[i] = (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) & 0xffff0000;
  }
}

/** Rounds to integers times the row's scale: an error of at most half a scale. */
function roundToScale(row: Float32Array, exact: number): void {
  const scale = Math.fround(exact);
  if (scale < 1e-30) {
    row.fill(0);
    return;
  }
  const inverse = Math.fround(1 / scale);
  for (let i = 0; i < row.length; i++)
    row[i] = roundHalfEven(Math.fround(row[i] * inverse)) * scale;
}

function largest(row: Float32Array): number {
  let max = 0;
  for (const x of row) max = Math.max(max, Math.abs(x));
  return max;
}

function norm(row: Float32Array): number {
  let squares = 0;
  for (const x of row) squares += x * x;
  return Math.fround(Math.sqrt(squares));
}

/** Rounds as adding and subtracting 1.5 * 2^23 does in float32. */
function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
