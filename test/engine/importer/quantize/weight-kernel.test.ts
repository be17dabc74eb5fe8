import { describe, expect, it } from 'vitest';
import { fromFloat16 } from '../../../../engine/float16.js';
import {
  columnPieces,
  rowPieces,
  turnedPieces,
} from '../../../../engine/importer/quantize/int8-pieces.js';
import { WeightKernel } from '../../../../engine/importer/quantize/kernel/weight-kernel.js';
import { NotFiniteError } from '../../../../engine/importer/quantize/not-finite.js';
import type { StoredMatrix } from '../../../../engine/importer/quantize/stored-matrix.js';
import { noise } from '../../../../engine/noise.js';

/** Numbers of both signs, rows of different magnitudes. */
function floats(rows: number, columns: number): Float32Array {
  const random = noise(rows + columns);
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    return random() * 2 ** ((Math.floor(i / columns) % 7) - 3);
  });
}

function matrixOf(values: Float32Array, columns: number): StoredMatrix {
  return {
    rows: values.length / columns,
    columns,
    bytes: values.byteLength,
    read: (first, count, into) => {
      into.set(values.subarray(first * columns, (first + count) * columns));
    },
  };
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Int8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece.slice());
  return new Int8Array(new Uint8Array(Buffer.concat(all)).buffer);
}

const pause = async (): Promise<void> => undefined;
const turn = <T extends Float32Array | Int8Array>(from: T, columns: number): T =>
  from.map((_, i) => {
    const rows = from.length / columns;
    return from[(i % rows) * columns + Math.floor(i / rows)];
  }) as T;

/** In plain loops: one scale for each row. */
function expectRounded(
  values: Int8Array,
  scales: Float32Array,
  from: Float32Array,
  columns: number,
  largest: number,
): void {
  expect(values).toHaveLength(from.length);
  for (let r = 0; r < scales.length; r++) {
    const row = from.subarray(r * columns, (r + 1) * columns);
    const most = row.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    expect(scales[r]).toBe(Math.fround(most / largest));
    for (const [c, x] of row.entries()) {
      const off = Math.abs(values[r * columns + c] - x / (scales[r] || 1));
      expect(off, `row ${r}, column ${c}`).toBeLessThanOrEqual(0.5 + 1e-12);
    }
  }
}

// Whole tiles of 64 x 16, and what lies beside them.
const SIZES = [
  [64, 16],
  [130, 37],
  [15, 1000],
  [200, 24],
  [1, 64],
] as const;

describe.each(SIZES)('int8 of %d x %d', (rows, columns) => {
  const from = floats(rows, columns);
  from.fill(0, 0, columns);
  const matrix = matrixOf(from, columns);

  it.each([8, 7] as const)('turned, in %d bits', async (bits) => {
    const scales = new Float32Array(rows);
    const values = await joined(turnedPieces(new WeightKernel(), matrix, bits, scales, pause));
    expectRounded(turn(values, rows), scales, from, columns, bits === 8 ? 127 : 64);
  });

  it('turned in bands, as the rows that are looked up, and by columns, the same', async () => {
    const kernel = new WeightKernel();
    const scales = new Float32Array(rows);
    const whole = await joined(turnedPieces(kernel, matrix, 8, scales, pause));
    const again = new Float32Array(rows);
    const bands = await joined(turnedPieces(kernel, matrix, 8, again, pause, 64 * rows));
    expect(bands).toEqual(whole);
    expect(again).toEqual(scales);
    expect(await joined(rowPieces(kernel, matrix, scales))).toEqual(turn(whole, rows));
    const turned = matrixOf(turn(from, columns), rows);
    const own = new Float32Array(rows);
    expect(await joined(columnPieces(kernel, turned, 8, own, pause))).toEqual(whole);
    expect(own).toEqual(scales);
  });
});

it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  'finds %d wherever it lies',
  async (wrong) => {
    const [rows, columns] = [70, 19];
    for (const place of [0, 17, 18, 69 * columns, rows * columns - 1]) {
      const from = floats(rows, columns);
      from[place] = wrong;
      const scales = new Float32Array(rows);
      const kernel = new WeightKernel();
      const byRows = turnedPieces(kernel, matrixOf(from, columns), 8, scales, pause);
      await expect(joined(byRows)).rejects.toThrow(NotFiniteError);
      const turned = matrixOf(turn(from, columns), rows);
      const byColumns = columnPieces(kernel, turned, 8, scales, pause);
      await expect(joined(byColumns)).rejects.toThrow(NotFiniteError);
    }
  },
);

it('rounds the smallest floats too', async () => {
  const from = Float32Array.from({ length: 64 * 16 }, (_, i) => (i % 3) * 1e-40);
  const scales = new Float32Array(64);
  const values = await joined(
    turnedPieces(new WeightKernel(), matrixOf(from, 16), 8, scales, pause),
  );
  expectRounded(turn(values, 64), scales, from, 16, 127);
});

it.each([true, false])('widens all numbers of 16 bits (bfloat16: %s)', (isBfloat) => {
  const kernel = new WeightKernel();
  const all = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
  const raw = kernel.take(all.byteLength);
  const wide = kernel.take(2 * all.byteLength);
  kernel.bytes(raw, all.byteLength).set(new Uint8Array(all.buffer));
  kernel.exports.widenAll(raw, isBfloat, all.length, wide);
  const expected = isBfloat
    ? new Float32Array(Uint32Array.from(all, (bits) => bits << 16).buffer)
    : Float32Array.from(all, fromFloat16);
  expect([...kernel.floats(wide, all.length)]).toEqual([...expected]);
});

it('spreads errors as plain loops do, in fours of rows and alone', () => {
  const kernel = new WeightKernel();
  const [rows, count, columns, size] = [6, 8, 20, 24];
  const [errors, factor, before] = [floats(rows, count), floats(count, size), floats(rows, size)];
  const at = [errors, factor, before].map(({ byteLength }) => kernel.take(byteLength));
  for (const [i, values] of [errors, factor, before].entries()) {
    kernel.floats(at[i], values.length).set(values);
  }
  kernel.exports.spreadErrors(at[0], rows, count, at[1], 4 * size, at[2], 4 * size, columns);
  const after = kernel.floats(at[2], before.length);
  for (const [i, value] of before.entries()) {
    const [row, column] = [Math.floor(i / size), i % size];
    let expected = value;
    for (let k = 0; k < (column < columns ? count : 0); k++) {
      expected -= errors[row * count + k] * factor[k * size + column];
    }
    expect(after[i]).toBeCloseTo(expected, 5);
  }
});
