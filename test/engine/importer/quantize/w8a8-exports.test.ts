import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Dtype } from '../../../../engine/importer/variants.js';
import { ExportRunner, exportDir, readGolden } from '../../../support/export-fixtures.js';

const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-w8a8-exports-'));
afterAll(() => rmSync(cacheDir, { recursive: true, force: true }));

/** Of two vectors of logits: 1 when they have one direction. */
function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array): number => x.reduce((n, v, i) => n + v * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/**
 * One of each form of attention and of weights; recognizers must find their way through the
 * rewritten graph, too.
 */
const EXPORTS: readonly {
  readonly exporter: string;
  readonly family: string;
  readonly dtype?: Dtype;
}[] = [
  { exporter: 'genai', family: 'llama3' },
  { exporter: 'genai-fp16', family: 'llama3' },
  { exporter: 'genai-int4', family: 'llama3' },
  { exporter: 'genai-mha', family: 'llama2' },
  { exporter: 'optimum', family: 'qwen2' },
  { exporter: 'optimum', family: 'gemma3' },
  { exporter: 'optimum', family: 'phi4-mini' },
  { exporter: 'optimum', family: 'gpt2' },
  { exporter: 'torch-18', family: 'llama3' },
  { exporter: 'torch-23', family: 'llama3' },
  { exporter: 'variants', family: 'smollm2', dtype: 'q4' },
  { exporter: 'variants', family: 'smollm2', dtype: 'q4f16' },
  { exporter: 'variants', family: 'smollm2', dtype: 'q2' },
];

// With the bits that this machine is served with; measured with 7: 0.9856 at worst. The models are
// tiny and random: rounding shows more than in a trained one. What matters here is that nothing is
// broken.
describe('W8A8 of real exports', () => {
  it.each(EXPORTS)(
    '$exporter $family $dtype: the logits keep their direction',
    async ({ exporter, family, dtype }) => {
      const { prompts } = readGolden(family);
      const firsts = async (options: Parameters<typeof ExportRunner.load>[1]) => {
        const runner = await ExportRunner.load(exportDir(exporter, family), options);
        try {
          const results = await runner.generate(prompts, 1, 64);
          return { rewrites: runner.model.report.rewrites, firsts: results.map((r) => r.first) };
        } finally {
          await runner.dispose();
        }
      };
      const quantize = { nbits: true, cacheDir };
      const exact = await firsts({ dtype });
      const quantized = await firsts({ dtype, quantize });
      expect(quantized.rewrites.join()).toContain('w8a8');
      quantized.firsts.forEach((first, i) => {
        expect(cosine(first, exact.firsts[i])).toBeGreaterThan(0.98);
      });
    },
  );

  it.each([
    ['int8', 'weights of 8 bits already'],
    ['bnb4', 'weights in 4 bits of bitsandbytes'],
  ] as const)(
    'is refused where there is nothing to rewrite, with the reason: %s',
    async (dtype, reason) => {
      const quantize = { nbits: true, cacheDir };
      const loading = ExportRunner.load(exportDir('variants', 'smollm2'), { dtype, quantize });
      await expect(loading).rejects.toThrow(reason);
    },
  );
});
