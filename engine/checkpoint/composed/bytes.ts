import type { PackedMatrix, ReadBytes } from '../packed/packed-matrix.js';
import { groupsOf } from './groups.js';

/** int8 numbers `[outputs, inputs]` with a scale for each output, as bytes around 128. */
export function int8Matrix(
  rows: number,
  columns: number,
  scales: Float32Array,
  readBytes: ReadBytes,
): PackedMatrix {
  const { group, repeats } = groupsOf(columns, 1);
  return {
    rows,
    columns,
    bits: 8,
    group,
    origin: 'middle',
    order: null,
    rowBytes: columns,
    read: (first, count, into) => {
      const values = into.values.subarray(0, count * columns);
      readBytes(first * columns, values);
      for (let i = 0; i < values.length; i++) values[i] ^= 128;
      for (let r = 0; r < count; r++) {
        into.scales.fill(scales[first + r], r * repeats, (r + 1) * repeats);
      }
    },
  };
}

/**
 * The values of all floats of 8 bits with 4 of exponent and 3 of fraction, without infinities
 * (Micikevicius et al. 2022, FP8 formats for deep learning).
 */
export function e4m3Table(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, bits) => {
    const sign = bits & 128 ? -1 : 1;
    const exponent = (bits >> 3) & 15;
    const fraction = bits & 7;
    if (exponent === 15 && fraction === 7) return Number.NaN;
    if (exponent === 0) return sign * fraction * 2 ** -9;
    return sign * (8 + fraction) * 2 ** (exponent - 10);
  });
}
