import { DOUBLED_E2M1, halvedPower } from '../packed/e2m1.js';
import type { PackedMatrix, ReadBytes } from '../packed/packed-matrix.js';

/** Numbers that share a scale. */
export const MXFP4_GROUP = 32;

/**
 * Rows of MXFP4 as gpt-oss stores them: numbers of 4 bits, two in a byte, the first in its lower
 * half, and the powers of 2 of their groups in a tensor of their own. Doubled, the numbers are
 * whole, so that as 8 bits around 128 with half of the power they are exact.
 *
 * @param readValues reads at bytes from the first row's numbers on; `readScales` the same
 */
export function mxfp4Matrix(
  rows: number,
  columns: number,
  readValues: ReadBytes,
  readScales: ReadBytes,
): PackedMatrix {
  const groups = columns / MXFP4_GROUP;
  const rowBytes = columns / 2;
  return {
    rows,
    columns,
    bits: 8,
    group: MXFP4_GROUP,
    origin: 'middle',
    order: null,
    rowBytes: rowBytes + groups,
    read: (first, count, { values, scales }) => {
      const pairs = new Uint8Array(count * rowBytes);
      const powers = new Uint8Array(count * groups);
      readValues(first * rowBytes, pairs);
      readScales(first * groups, powers);
      for (const [i, pair] of pairs.entries()) {
        values[2 * i] = 128 + DOUBLED_E2M1[pair & 15];
        values[2 * i + 1] = 128 + DOUBLED_E2M1[pair >> 4];
      }
      for (const [i, power] of powers.entries()) scales[i] = halvedPower(power);
    },
  };
}
