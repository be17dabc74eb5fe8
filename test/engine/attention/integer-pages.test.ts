import { describe, expect, it } from 'vitest';
import { KernelAttention } from '../../../engine/attention/kernel-attention.js';
import {
  joinTables,
  type KvDtype,
  type PagedAttention,
  plainAttention,
} from '../../../engine/attention/paged-attention.js';
import { ReferenceAttention } from '../../../engine/attention/reference-attention.js';
import { numbers } from '../../support/attention-cases.js';

// Sums of 32 bits must hold whatever a model computes: the bounds in
// kernel/assembly/integer-matmuls.ts, at their edges.

interface Tensors {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
}

/** One prompt of `tokens` tokens, one head of `headSize`. */
function attend(
  attention: PagedAttention,
  tokens: number,
  { query, key, value }: Tensors,
): Float32Array {
  const blocks = Math.ceil(tokens / 16);
  attention.beginStep({
    numSequences: 1,
    queryStarts: Int32Array.of(0, tokens),
    contextLengths: Int32Array.of(tokens),
    blockTables: [joinTables([Array.from({ length: blocks }, (_, i) => i)])],
  });
  const output = new Float32Array(query.length);
  attention.store(0, key, value);
  attention.attend(0, query, output);
  return output;
}

/** Largest difference to what float32 pages give, relative to the largest output. */
async function error(
  kvDtype: KvDtype,
  headSize: number,
  tokens: number,
  tensors: Tensors,
): Promise<number> {
  const layer = plainAttention(1, 1, headSize);
  const config = { layers: [layer], numBlocks: Math.ceil(tokens / 16), blockSize: 16, threads: 1 };
  const kernel = new KernelAttention({ ...config, kvDtype });
  const actual = attend(kernel, tokens, tensors);
  await kernel.dispose();
  const exact = attend(new ReferenceAttention({ ...config, kvDtype: 'f32' }), tokens, tensors);
  const largest = exact.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const worst = exact.reduce((max, x, i) => Math.max(max, Math.abs(actual[i] - x)), 0);
  return largest === 0 ? worst : worst / largest;
}

const TOKENS = 300;

/**
 * Rows that are all the same: queries and keys are parallel, all weights are equal, and sums are as
 * large as they get.
 */
function equalRows(headSize: number, row: (d: number) => number): Tensors {
  const rows = Float32Array.from({ length: TOKENS * headSize }, (_, i) => row(i % headSize));
  return { query: rows, key: rows, value: rows };
}

describe.each([8, 64, 256])('pages of integers, heads of %i', (headSize) => {
  it.each([
    ['all numbers equal', () => 1],
    ['all numbers equal and negative', () => -3],
    ['one number is all', (d: number) => (d === 5 ? 1 : 0)],
    ['one outlier', (d: number) => (d === 3 ? 50 : 0.1)],
    ['nothing', () => 0],
  ] as const)('no sum overflows: %s', async (_, row) => {
    for (const kvDtype of ['int16', 'int8'] as const) {
      const bound = kvDtype === 'int16' ? 3e-4 : 1e-2;
      expect(await error(kvDtype, headSize, TOKENS, equalRows(headSize, row))).toBeLessThan(bound);
    }
  });

  it('one token may outweigh all others, and its value all other values', async () => {
    const tensors = equalRows(headSize, () => 1);
    const key = tensors.key.slice();
    const value = numbers(TOKENS * headSize, 7);
    // Its score is far above the others', and those have large values: their weights are small
    // numbers beside it.
    for (let d = 0; d < headSize; d++) {
      key[40 * headSize + d] = 6;
      value[41 * headSize + d] *= 1000;
    }
    expect(await error('int16', headSize, TOKENS, { ...tensors, key, value })).toBeLessThan(3e-4);
  });

  it.each([1e-18, 1e-6, 1e6, 1e15])('any magnitude: values of %d', async (magnitude) => {
    const value = numbers(TOKENS * headSize, 9).map((x) => x * magnitude);
    const query = numbers(TOKENS * headSize, 1).map((x) => x / magnitude);
    const key = numbers(TOKENS * headSize, 2).map((x) => x * magnitude);
    expect(await error('int16', headSize, TOKENS, { query, key, value })).toBeLessThan(3e-4);
  });
});

it('int16 pages are more exact than bf16 pages, of the same size', async () => {
  const draw = (seed: number): Float32Array => numbers(TOKENS * 64, seed).map((x) => 4 * x);
  const tensors = { query: draw(1), key: draw(2), value: draw(3) };
  const int16 = await error('int16', 64, TOKENS, tensors);
  expect(int16).toBeLessThan(0.1 * (await error('bf16', 64, TOKENS, tensors)));
});
