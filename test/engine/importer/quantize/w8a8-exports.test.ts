import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ExportRunner, exportDir, readGolden } from '../../../support/export-fixtures.js';

const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-w8a8-exports-'));
afterAll(() => rmSync(cacheDir, { recursive: true, force: true }));

/** Of two vectors of logits: 1 when they have one direction. */
function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array): number => x.reduce((n, v, i) => n + v * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** One of each form of attention and of weights; recognisers must find their way through the rewritten graph, too. */
const EXPORTS = [
  ['genai', 'llama3'],
  ['genai-fp16', 'llama3'],
  ['genai-int4', 'llama3'],
  ['genai-mha', 'llama2'],
  ['optimum', 'qwen2'],
  ['optimum', 'gemma3'],
  ['optimum', 'phi3'],
  ['optimum', 'gpt2'],
  ['torch-18', 'llama3'],
  ['torch-23', 'llama3'],
] as const;

// The models are tiny and random: rounding shows more than in a trained one. What matters here is that nothing is broken.
describe('W8A8 of real exports', () => {
  it.each(EXPORTS)('%s %s: the logits keep their direction', async (exporter, family) => {
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
    const quantize = { nbits: true, cacheDir, weightBits: () => Promise.resolve(8 as const) };
    const exact = await firsts({});
    const quantized = await firsts({ quantize });
    expect(quantized.rewrites.join()).toContain('w8a8');
    quantized.firsts.forEach((first, i) => {
      expect(cosine(first, exact.firsts[i])).toBeGreaterThan(0.98);
    });
  });
});
