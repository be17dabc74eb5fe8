import { expect, it } from 'vitest';
import { memoryOf } from '../../../../engine/checkpoint/packed/packed-matrix.js';
import { choose } from '../../../../engine/importer/quantize/choose-kind.js';
import { WeightKernel } from '../../../../engine/importer/quantize/kernel/weight-kernel.js';
import { NotFiniteError } from '../../../../engine/importer/quantize/not-finite.js';
import { groupFor, roundedMatrix } from '../../../../engine/importer/quantize/round-blocks.js';
import { noise } from '../../../../engine/noise.js';

function matrixOf(values: Float32Array, columns: number) {
  const rows = values.length / columns;
  return {
    rows,
    columns,
    bytes: 4 * values.length,
    read: (first: number, count: number, into: Float32Array) =>
      into.set(values.subarray(first * columns, (first + count) * columns)),
  };
}

/** What rounding leaves of the squares of a matrix, as a share. */
function errorOf(values: Float32Array, bits: 4 | 8, group: number): number {
  const rounded = roundedMatrix(new WeightKernel(), matrixOf(values, 64), bits, group);
  const memory = memoryOf(rounded, rounded.rows);
  rounded.read(0, rounded.rows, memory);
  const middle = 2 ** (bits - 1);
  let left = 0;
  let all = 0;
  for (const [i, x] of values.entries()) {
    const meant = (memory.values[i] - middle) * memory.scales[Math.floor(i / group)];
    expect(memory.values[i]).toBeLessThan(2 ** bits);
    left += (x - meant) ** 2;
    all += x * x;
  }
  return left / all;
}

/** The same with the scale that keeps the largest weight. */
function plainError(values: Float32Array, group: number): number {
  let left = 0;
  let all = 0;
  for (let at = 0; at < values.length; at += group) {
    const own = values.subarray(at, at + group);
    const scale = own.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 7;
    for (const x of own) {
      left += (x - Math.round(x / scale) * scale) ** 2;
      all += x * x;
    }
  }
  return left / all;
}

const random = noise(7);
const normal = Float32Array.from({ length: 64 * 64 }, () => {
  let sum = 0;
  for (let i = 0; i < 12; i++) sum += random();
  return sum * 0.01;
});

it('rounds to 4 bits with less error than the largest weight alone would give', () => {
  expect(errorOf(normal, 4, 32)).toBeLessThan(0.8 * plainError(normal, 32));
  expect(errorOf(normal, 8, 64)).toBeLessThan(1e-4);
});

it('keeps whole numbers of 4 bits exactly, and zeros', () => {
  const whole = Float32Array.from({ length: 64 * 4 }, (_, i) => (i < 64 ? 0 : ((i % 16) - 8) / 4));
  expect(errorOf(whole, 4, 32)).toBe(0);
});

it('refuses what is not finite', () => {
  for (const bits of [4, 8] as const) {
    expect(() =>
      errorOf(
        normal.map((x, i) => (i === 99 ? Number.NaN : x)),
        bits,
        32,
      ),
    ).toThrow(NotFiniteError);
  }
});

it('takes the largest groups that divide the inputs', () => {
  expect([896, 64, 48, 40].map((inputs) => groupFor(8, inputs))).toEqual([128, 64, 16, null]);
  expect([896, 48, 40].map((inputs) => groupFor(4, inputs))).toEqual([32, 16, null]);
});

it.each([
  [0, 8, 16e9, 'none'],
  [10e6, 8, 16e9, 'none'],
  [500e6, 8, 16e9, 'w8a8'],
  [500e6, 7, 16e9, 'q8'],
  [500e6, null, 16e9, 'q8'],
  [7e9, 8, 12e9, 'q4'],
] as const)(
  '%d weights on a CPU with %s exact bits and %d bytes: %s',
  (weights, exactBits, memory, kind) => {
    const choice = choose(weights, { exactBits, memory });
    expect(choice.kind).toBe(kind);
    expect(choice.reason).not.toContain('\n');
  },
);
