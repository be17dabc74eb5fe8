import { expect, it } from 'vitest';
import { mxfp4Matrix } from '../../../engine/checkpoint/composed/mxfp4.js';
import { memoryOf } from '../../../engine/checkpoint/packed/packed-matrix.js';

/** OCP Microscaling Formats 1.0, table 5: sign, two bits of exponent with a bias of 1, one bit. */
function e2m1(bits: number): number {
  const sign = bits & 8 ? -1 : 1;
  const exponent = (bits >> 1) & 3;
  const fraction = bits & 1;
  return sign * (exponent === 0 ? fraction / 2 : (1 + fraction / 2) * 2 ** (exponent - 1));
}

it('every number of MXFP4 times every power of 2 is exact', () => {
  // A row for each power, in which each number comes twice; the last power is no number.
  const [rows, columns] = [255, 32];
  const pairs = Uint8Array.from({ length: rows * 16 }, (_, i) => (i % 16) | ((15 - (i % 16)) << 4));
  const powers = Uint8Array.from({ length: rows }, (_, i) => i);
  const matrix = mxfp4Matrix(
    rows,
    columns,
    (at, into) => into.set(pairs.subarray(at, at + into.length)),
    (at, into) => into.set(powers.subarray(at, at + into.length)),
  );
  // In two pieces.
  const memory = memoryOf(matrix, 200);
  for (const [first, count] of [
    [0, 200],
    [200, 55],
  ]) {
    matrix.read(first, count, memory);
    for (let r = 0; r < count; r++) {
      for (let c = 0; c < columns; c++) {
        const code = c % 2 === 0 ? c >> 1 : 15 - (c >> 1);
        const meant = (memory.values[r * columns + c] - 128) * memory.scales[r];
        expect(meant === e2m1(code) * 2 ** (first + r - 127)).toBe(true);
      }
    }
  }
});
