import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KernelAttention, type KernelOptions } from '../../../engine/attention/kernel-attention.js';
import type { PagedAttentionConfig } from '../../../engine/attention/page-layout.js';
import { bytesPerBlock, fullLayout } from '../../../engine/attention/page-layout.js';
import {
  joinTables,
  KV_DTYPES,
  type KvDtype,
  type PagedAttention,
  plainAttention,
} from '../../../engine/attention/paged-attention.js';
import { type AttentionCase, attentionCase, numbers } from '../../support/attention-cases.js';
import { poisonedKernel, poisonedReference } from '../../support/poisoned-attention.js';
import { sameBits } from '../../support/same-bits.js';

/** Outputs of all steps and layers, in order. */
function run(attention: PagedAttention, { config, steps }: AttentionCase): Float32Array[] {
  return steps.flatMap(({ batch, numTokens, seed }) => {
    attention.beginStep(batch);
    return config.layers.map(({ numHeads, numKvHeads, headSize, pagesOf }, layer) => {
      const output = new Float32Array(numTokens * numHeads * headSize).fill(Number.NaN);
      const fresh = (offset: number): Float32Array =>
        numbers(numTokens * numKvHeads * headSize, seed + offset + layer);
      if (pagesOf === undefined) attention.store(layer, fresh(100), fresh(200));
      attention.attend(layer, numbers(numTokens * numHeads * headSize, seed + layer), output);
      return output;
    });
  });
}

/** Largest difference, relative to the size of the numbers (which lie in [-1, 1]). */
function difference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let worst = 0;
  a.forEach((array, i) => {
    expect(array.length).toBe(b[i].length);
    for (let k = 0; k < array.length; k++) {
      const d = Math.abs(array[k] - b[i][k]) / Math.max(1, Math.abs(b[i][k]));
      if (!(d <= worst)) worst = d;
    }
  });
  return worst;
}

/**
 * The formats round K and V alike. But the reference rotates in float64: what then lies halfway
 * between two steps of a format may be stored one step apart. Pages of integers are multiplied by
 * queries and weights that are integers, too.
 */
const BOUNDS: Readonly<Record<KvDtype, { plain: number; rotated: number }>> = {
  f32: { plain: 1e-5, rotated: 1e-5 },
  bf16: { plain: 1e-5, rotated: 2e-2 },
  int16: { plain: 2e-4, rotated: 3e-4 },
  int8: { plain: 2e-4, rotated: 2e-2 },
};

describe('the kernel against the reference', () => {
  it('computes the same for any shape, format, batch and number of threads', async () => {
    await fc.assert(
      fc.asyncProperty(attentionCase, async (testCase) => {
        const kernel = poisonedKernel(testCase.config);
        try {
          const expected = run(poisonedReference(testCase.config), testCase);
          const { layers, kvDtype } = testCase.config;
          const bound = BOUNDS[kvDtype][layers[0].rotary ? 'rotated' : 'plain'];
          expect(difference(run(kernel, testCase), expected)).toBeLessThan(bound);
        } finally {
          await kernel.dispose();
        }
      }),
      { numRuns: 120, seed: 20261124 },
    );
  });
});

const SHAPE = plainAttention(14, 2, 64);
const CONFIG: PagedAttentionConfig = {
  layers: [SHAPE, SHAPE, SHAPE],
  numBlocks: 64,
  blockSize: 16,
  kvDtype: 'f32',
  threads: 1,
};

/** Sequences of these lengths, all of their tokens in one step. */
function prefill(config: PagedAttentionConfig, lengths: readonly number[]): AttentionCase {
  const queryStarts = Int32Array.from([0, ...lengths]).map((_, i) =>
    lengths.slice(0, i).reduce((a, b) => a + b, 0),
  );
  const stride = Math.max(...lengths.map((length) => Math.ceil(length / config.blockSize)));
  const tables = lengths.map((_, s) => Array.from({ length: stride }, (__, i) => s * stride + i));
  const batch = {
    numSequences: lengths.length,
    queryStarts,
    contextLengths: Int32Array.from(lengths),
    blockTables: [joinTables(tables)],
  };
  return { config, steps: [{ batch, numTokens: queryStarts[lengths.length], seed: 3 }] };
}

/** The tokens from `before` on of the one prompt of `prefill(config, [300])`. */
function runPart(
  kernel: KernelAttention,
  config: PagedAttentionConfig,
  before: number,
  length: number,
): Float32Array {
  const [{ numHeads, numKvHeads, headSize }] = config.layers;
  const stride = Math.ceil((before + length) / config.blockSize);
  kernel.beginStep({
    numSequences: 1,
    queryStarts: Int32Array.of(0, length),
    contextLengths: Int32Array.of(before + length),
    blockTables: [joinTables([Array.from({ length: stride }, (_, i) => i)])],
  });
  const part = (heads: number, seed: number): Float32Array =>
    numbers(300 * heads * headSize, seed).subarray(
      before * heads * headSize,
      (before + length) * heads * headSize,
    );
  const output = new Float32Array(length * numHeads * headSize);
  kernel.store(0, part(numKvHeads, 103), part(numKvHeads, 203));
  kernel.attend(0, part(numHeads, 3), output);
  return output;
}

/** Runs a case and disposes the kernel. */
async function result(
  testCase: AttentionCase,
  options: KernelOptions = {},
): Promise<Float32Array[]> {
  const kernel = poisonedKernel(testCase.config, options);
  try {
    return run(kernel, testCase);
  } finally {
    await kernel.dispose();
  }
}

describe('the kernel', () => {
  it('gives the same bits with any number of threads, and alone or in a batch', async () => {
    const one = await result(prefill(CONFIG, [200, 130, 64, 1]));
    for (const threads of [2, 3, 4]) {
      const other = await result(prefill({ ...CONFIG, threads }, [200, 130, 64, 1]));
      expect(other.every((output, i) => sameBits(output, one[i]))).toBe(true);
    }
    const alone = await result(prefill(CONFIG, [200]));
    alone.forEach((output, layer) => {
      expect(sameBits(one[layer].subarray(0, output.length), output)).toBe(true);
    });
  });

  it.each(KV_DTYPES)(
    'gives the same bits however a prompt is cut into steps: %s',
    async (kvDtype) => {
      for (const slidingWindow of [0, 50, 150]) {
        const shape = { ...SHAPE, slidingWindow };
        const config = { ...CONFIG, kvDtype, layers: [shape] };
        const whole = await result(prefill(config, [300]));
        const kernel = poisonedKernel(config);
        const parts = new Float32Array(whole[0].length);
        let before = 0;
        for (const length of [1, 127, 5, 100, 67]) {
          parts.set(runPart(kernel, config, before, length), before * 14 * 64);
          before += length;
        }
        await kernel.dispose();
        expect(sameBits(parts, whole[0])).toBe(true);
      }
    },
  );

  it('keeps a layer over the pages of another one in the memory where those are', async () => {
    const layers = [SHAPE, SHAPE, { ...SHAPE, numHeads: 4, pagesOf: 0 }];
    const testCase = prefill({ ...CONFIG, layers }, [100, 33]);
    const perLayer = 2 * 64 * 16 * 2 * 64 * 4;
    const kernel = new KernelAttention(testCase.config, { maxMemoryBytes: perLayer * 1.9 });
    expect([0, 1, 2].map((layer) => kernel.pages.memoryOf(layer))).toEqual([0, 1, 0]);
    const whole = await result(testCase);
    expect(run(kernel, testCase).every((output, i) => sameBits(output, whole[i]))).toBe(true);
    await kernel.dispose();
    const bytes = bytesPerBlock([SHAPE, SHAPE], fullLayout([SHAPE, SHAPE]), 16, 'f32');
    expect(bytesPerBlock(layers, fullLayout(layers), 16, 'f32')).toBe(bytes);
  });

  it('spreads a pool over several memories when one does not hold it', async () => {
    const testCase = prefill(CONFIG, [100, 33]);
    const perLayer = 2 * 64 * 16 * 2 * 64 * 4;
    const kernel = new KernelAttention(CONFIG, { maxMemoryBytes: perLayer * 1.9 });
    expect([0, 1, 2].map((layer) => kernel.pages.memoryOf(layer))).toEqual([0, 1, 2]);
    const whole = await result(testCase);
    expect(run(kernel, testCase).every((output, i) => sameBits(output, whole[i]))).toBe(true);
    await kernel.dispose();
    expect(() => new KernelAttention(CONFIG, { maxMemoryBytes: perLayer / 2 })).toThrow(
      /^--kv-cache-memory 0\.00GiB: at most 0\.00GiB for this model and --kv-dtype f32/,
    );
  });

  it.each(KV_DTYPES)('copies blocks: %s', async (kvDtype) => {
    const config = { ...CONFIG, kvDtype };
    const kernel = poisonedKernel(config);
    const { steps } = prefill(config, [16]);
    run(kernel, { config, steps });
    kernel.pages.copy(0, 9);
    const decode = (block: number): AttentionCase => ({
      config,
      steps: [
        {
          numTokens: 1,
          seed: 11,
          batch: {
            numSequences: 1,
            queryStarts: Int32Array.of(0, 1),
            contextLengths: Int32Array.of(17),
            blockTables: [joinTables([[block, 20]])],
          },
        },
      ],
    });
    expect(run(kernel, decode(9))).toEqual(run(kernel, decode(0)));
    await kernel.dispose();
  });

  it('refuses sizes that it does not have', () => {
    expect(() => new KernelAttention({ ...CONFIG, blockSize: 10 })).toThrow(/--block-size 10/);
    expect(() => new KernelAttention({ ...CONFIG, layers: [{ ...SHAPE, headSize: 20 }] })).toThrow(
      /heads of 20 floats; the kernel takes multiples of 8/,
    );
  });

  it('says that a worker thread is lost, and hangs on nothing', async () => {
    const config = { ...CONFIG, threads: 2 };
    const testCase = prefill(config, [200]);
    const kernel = poisonedKernel(config, { deadAfterMs: 1500 });
    run(kernel, testCase);
    const [worker] = kernel.workerPool?.workers ?? [];
    // Its end is not known yet when the next call begins: the wait for it is bounded.
    void worker.terminate();
    expect(() => run(kernel, testCase)).toThrow(
      /worker thread is lost: it did not answer for 1500 ms/,
    );
    expect(() => run(kernel, testCase)).toThrow(/worker thread is lost/);
    await kernel.dispose();

    const other = poisonedKernel(config);
    run(other, testCase);
    await other.workerPool?.workers[0].terminate();
    expect(() => run(other, testCase)).toThrow(/worker thread is lost: it ended with code 1/);
    await other.dispose();

    const disposed = poisonedKernel(config);
    await disposed.dispose();
    expect(() => run(disposed, testCase)).toThrow(/worker thread is lost: the pool was disposed/);
  });
});
