import type { KvDtype } from './paged-attention.js';

/**
 * What a row of K or V (one token, one head) is after it was stored and read back. All implementations round alike.
 *
 * @param row `[headSize]`, changed in place
 */
export function roundRow(row: Float32Array, kvDtype: KvDtype): void {
  switch (kvDtype) {
    case 'f32':
      return;
    case 'bf16':
      roundToBf16(row);
      return;
    case 'int8':
      roundToInt8(row);
      return;
  }
}

/** Keeps the upper 16 bits, rounded to nearest, ties to even: a relative error of at most 2^-8. */
function roundToBf16(row: Float32Array): void {
  const bits = new Uint32Array(row.buffer, row.byteOffset, row.length);
  for (let i = 0; i < bits.length; i++) {
    bits[i] = (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) & 0xffff0000;
  }
}

/** Symmetric int8 with one scale for the row, `max |x| / 127`: an error of at most half a scale. */
function roundToInt8(row: Float32Array): void {
  let max = 0;
  for (const x of row) max = Math.max(max, Math.abs(x));
  const scale = Math.fround(max / 127);
  if (scale === 0) {
    row.fill(0);
    return;
  }
  const inverse = Math.fround(1 / scale);
  for (let i = 0; i < row.length; i++)
    row[i] = roundHalfEven(Math.fround(row[i] * inverse)) * scale;
}

/** As `f32.nearest` in WebAssembly rounds. */
function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
