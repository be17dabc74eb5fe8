import { expect, it } from 'vitest';
import {
  EXACT_SUMS,
  exactWeightBits,
  type MatmulProbe,
  runMatmuls,
} from '../../../../engine/importer/quantize/exact-weight-bits.js';

const INPUTS = 128;
const OUTPUTS = 64;

/**
 * A CPU that adds `pair` neighboring products, clamped to [-limit, limit]: vpmaddubsw is a pair in
 * 16 bits.
 */
function cpu(limit: number, brokenFrom = 1): MatmulProbe {
  return (weight, rows) =>
    Promise.resolve(
      rows.map((count) => {
        const pair = 2 * 255 * weight;
        const kept = count >= brokenFrom ? Math.max(-limit, Math.min(limit, pair)) : pair;
        const sum = (INPUTS / 2) * kept - 128 * weight * INPUTS;
        return new Float32Array(count * OUTPUTS).fill(sum);
      }),
    );
}

it('takes 8 bits where sums are exact', async () => {
  expect(await exactWeightBits(cpu(2 ** 31))).toBe(8);
});

it('takes 7 bits where two products are added in 16', async () => {
  expect(await exactWeightBits(cpu(32_767))).toBe(7);
});

it('notices a kernel for many rows that saturates', async () => {
  expect(await exactWeightBits(cpu(32_767, 16))).toBe(7);
});

it('gives up where 7 bits saturate too', async () => {
  expect(await exactWeightBits(cpu(2 ** 14))).toBeNull();
});

it('finds some width that works on this machine', async () => {
  expect([7, 8]).toContain(await exactWeightBits());
});

it('finds 8 bits on any machine whose ONNX Runtime is told to be exact', async () => {
  expect(await exactWeightBits((weight, rows) => runMatmuls(weight, rows, EXACT_SUMS))).toBe(8);
});
