import { expect, it } from 'vitest';
import { inputBlocks } from '../../../../engine/importer/quantize/calibration.js';
import {
  type RoundedRows,
  roundByMoments,
  type ScaleOf,
} from '../../../../engine/importer/quantize/gptq.js';
import { inverseFactor, SCRATCH_BYTES } from '../../../../engine/importer/quantize/gptq-factor.js';
import { WeightKernel } from '../../../../engine/importer/quantize/kernel/weight-kernel.js';
import { RoundingMemory } from '../../../../engine/importer/quantize/rounding-memory.js';
import { noise } from '../../../../engine/noise.js';

const SIZE = 64;
const GROUP = 32;
const random = noise(5);

const ofLargest = (weights: Float32Array | Float64Array): number =>
  Math.max(...weights.map(Math.abs)) / 7;

/** Inputs in few directions, with some noise. */
function inputs(count: number, size = SIZE): Float64Array[] {
  const directions = Array.from({ length: 12 }, () => Float64Array.from({ length: size }, random));
  return Array.from({ length: count }, () => {
    const x = Float64Array.from({ length: size }, () => 0.1 * random());
    for (const direction of directions) {
      const share = random();
      for (let i = 0; i < size; i++) x[i] += share * direction[i];
    }
    return x;
  });
}

function momentsOf(xs: readonly Float64Array[]): Float64Array {
  const size = xs[0].length;
  const moments = new Float64Array(size * size);
  for (const x of xs) {
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) moments[i * size + j] += x[i] * x[j];
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

// One tile; three, and a narrow one behind them.
it.each([SIZE, 208])('the factor of %d inputs gives the inverse of the damped moments', (size) => {
  const moments = momentsOf(inputs(300, size));
  const diagonal = (at: number): boolean => at % (size + 1) === 0;
  const mean = moments.reduce((sum, m, at) => (diagonal(at) ? sum + m / size : sum), 0);
  const damped = moments.map((m, at) => (diagonal(at) ? m + 0.01 * mean : m));
  const kernel = new WeightKernel();
  const scratch = kernel.take(SCRATCH_BYTES);
  const at = kernel.take(moments.byteLength);
  kernel.doubles(at, moments.length).set(moments);
  inverseFactor(kernel, at, size, scratch);
  const factor = kernel.doubles(at, moments.length);
  let most = 0;
  for (let j = 0; j < size; j += 5) {
    // U^T U H = 1, for one column of H.
    const turned = Float64Array.from({ length: size }, (_, r) => {
      let sum = 0;
      for (let k = r; k < size; k++) sum += factor[r * size + k] * damped[k * size + j];
      return sum;
    });
    for (let i = 0; i < size; i++) {
      let sum = i === j ? -1 : 0;
      for (let r = 0; r <= i; r++) sum += factor[r * size + i] * turned[r];
      most = Math.max(most, Math.abs(sum));
    }
  }
  expect(most).toBeLessThan(1e-9);
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

it('each of two blocks has its own factor', () => {
  const width = 4112;
  const moments = inputBlocks(width).map(({ size }, block) =>
    Float32Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 4 ** block : 0)),
  );
  const memory = new RoundingMemory();
  expect(memory.load(width, moments, 1, 16)).toBe(true);
  for (const [block, { size, factor }] of memory.blocks.entries()) {
    const expected = Math.fround(1 / Math.sqrt(1.01 * 4 ** block));
    let off = 0;
    for (let i = 0; i < size; i++) {
      off = Math.max(off, Math.abs(factor[i * size + i] - expected));
      for (let j = i + 1; j < size; j++) off = Math.max(off, Math.abs(factor[i * size + j]));
    }
    expect(off).toBeLessThan(1e-6);
  }
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
