import { expect, it } from 'vitest';
import { inputBlocks } from '../../../../engine/importer/quantize/calibration.js';
import {
  type RoundedRows,
  roundByMoments,
  type ScaleOf,
} from '../../../../engine/importer/quantize/gptq.js';
import { inverseFactor } from '../../../../engine/importer/quantize/gptq-factor.js';
import { RoundingMemory } from '../../../../engine/importer/quantize/rounding-memory.js';
import { noise } from '../../../../engine/noise.js';

const SIZE = 64;
const GROUP = 32;
const random = noise(5);

const ofLargest = (weights: Float32Array | Float64Array): number =>
  Math.max(...weights.map(Math.abs)) / 7;

/** Inputs in few directions, with some noise. */
function inputs(count: number): Float64Array[] {
  const directions = Array.from({ length: 12 }, () => Float64Array.from({ length: SIZE }, random));
  return Array.from({ length: count }, () => {
    const x = Float64Array.from({ length: SIZE }, () => 0.1 * random());
    for (const direction of directions) {
      const share = random();
      for (let i = 0; i < SIZE; i++) x[i] += share * direction[i];
    }
    return x;
  });
}

function momentsOf(xs: readonly Float64Array[]): Float64Array {
  const moments = new Float64Array(SIZE * SIZE);
  for (const x of xs) {
    for (let i = 0; i < SIZE; i++)
      for (let j = 0; j < SIZE; j++) moments[i * SIZE + j] += x[i] * x[j];
  }
  return moments;
}

/** Squared error of a row's answers. */
function errorOf(xs: readonly Float64Array[], row: Float64Array, made: Float64Array): number {
  return xs.reduce((sum, x) => {
    const difference = x.reduce((d, value, i) => d + value * (row[i] - made[i]), 0);
    return sum + difference ** 2;
  }, 0);
}

function plainlyRounded(row: Float64Array): Float64Array {
  return row.map((x, i) => {
    const scale = ofLargest(row.subarray(i - (i % GROUP), i - (i % GROUP) + GROUP));
    return Math.round(x / scale) * scale;
  });
}

/** @param rows one or more of `SIZE` */
function round(
  rows: Float64Array,
  moments: Float64Array,
  form: { readonly bits: 4 | 8; readonly group: number },
  scaleOf: ScaleOf,
): RoundedRows {
  const memory = new RoundingMemory();
  const count = rows.length / SIZE;
  expect(memory.load(SIZE, [Float32Array.from(moments)], count, form.group)).toBe(true);
  memory.rows.set(rows);
  return roundByMoments(memory, count, SIZE, form, scaleOf);
}

function rounded(row: Float64Array, moments: Float64Array): Float64Array {
  const form = { bits: 4, group: GROUP } as const;
  const { values, scales } = round(row, moments, form, ofLargest);
  return Float64Array.from(values, (q, i) => q * scales[Math.floor(i / GROUP)]);
}

it('the factor gives the inverse of the damped moments', () => {
  const moments = momentsOf(inputs(200));
  let mean = 0;
  for (let i = 0; i < SIZE; i++) mean += moments[i * SIZE + i] / SIZE;
  const damped = moments.map((m, at) => (at % (SIZE + 1) === 0 ? m + 0.01 * mean : m));
  const factor = inverseFactor(moments.slice(), SIZE);
  const inverse = (i: number, k: number): number => {
    let sum = 0;
    for (let r = 0; r <= Math.min(i, k); r++) sum += factor[r * SIZE + i] * factor[r * SIZE + k];
    return sum;
  };
  for (const i of [0, 3, 40, 63]) {
    for (const j of [0, 3, 40, 63]) {
      let sum = 0;
      for (let k = 0; k < SIZE; k++) sum += inverse(i, k) * damped[k * SIZE + j];
      expect(sum).toBeCloseTo(i === j ? 1 : 0, 8);
    }
  }
});

it('answers differ less than with each weight rounded by itself', () => {
  const xs = inputs(300);
  const moments = momentsOf(xs);
  let [plain, made] = [0, 0];
  for (let r = 0; r < 32; r++) {
    const row = Float64Array.from({ length: SIZE }, random);
    plain += errorOf(xs, row, plainlyRounded(row));
    made += errorOf(xs, row, rounded(row, moments));
  }
  expect(made).toBeLessThan(0.25 * plain);
});

it('inputs that are never there are rounded by themselves', () => {
  const row = Float64Array.from({ length: SIZE }, random);
  const expected = plainlyRounded(row);
  const made = rounded(row, new Float64Array(SIZE * SIZE));
  made.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 6);
  });
});

it('several rows get what each gets alone', () => {
  const moments = momentsOf(inputs(100));
  // Four in one go of the kernel, and one behind them.
  const rows = Float64Array.from({ length: 5 * SIZE }, random);
  const form = { bits: 8, group: 16 } as const;
  const all = round(rows, moments, form, (w) => ofLargest(w) / 18);
  for (let r = 0; r < 5; r++) {
    const [from, to] = [r * SIZE, (r + 1) * SIZE];
    const own = rows.slice(from, to);
    const alone = round(own, moments, form, (w) => ofLargest(w) / 18);
    expect(all.values.slice(from, to)).toEqual(alone.values);
    expect(all.scales.slice(from / 16, to / 16)).toEqual(alone.scales);
  }
});

it('moments that are not finite have no factor', () => {
  const moments = new Float32Array(SIZE * SIZE);
  moments[SIZE + 1] = Number.NaN;
  expect(new RoundingMemory().load(SIZE, [moments], 1, GROUP)).toBe(false);
});

it.each([
  [64, [64]],
  [4096, [4096]],
  [4864, [2432, 2432]],
  [14_336, [3584, 3584, 3584, 3584]],
  [4112, [2176, 1936]],
])('%d inputs lie in blocks of %j', (width, sizes) => {
  const blocks = inputBlocks(width);
  expect(blocks.map(({ size }) => size)).toEqual(sizes);
  let next = 0;
  for (const { start, size } of blocks) {
    expect(start).toBe(next);
    next += size;
  }
});
