import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fromFloat16 } from '../../../engine/importer/tensor-data.js';
import type { Dtype } from '../../../engine/importer/variants.js';
import { ExportRunner, exportDir, readGolden } from '../../support/export-fixtures.js';

interface Case {
  readonly exporter: string;
  readonly family: string;
  readonly dtype?: Dtype;
  /** What ONNX Runtime's own kernels for these numbers may differ by, of logits up to about 8. */
  readonly tolerance: number;
}

const CASES: readonly Case[] = [
  { exporter: 'genai', family: 'gemma2', tolerance: 1e-3 },
  { exporter: 'genai-mha', family: 'mistral', tolerance: 1e-3 },
  { exporter: 'optimum', family: 'gemma2', tolerance: 1e-3 },
  { exporter: 'optimum', family: 'falcon', tolerance: 1e-3 },
  { exporter: 'genai-int4', family: 'llama3', tolerance: 1e-1 },
  { exporter: 'genai-int4', family: 'qwen3', tolerance: 1e-1 },
  { exporter: 'genai-int4', family: 'gpt-oss', tolerance: 1e-1 },
  { exporter: 'genai-fp16', family: 'llama3', tolerance: 3e-2 },
  { exporter: 'genai-fp16-dml', family: 'qwen2', tolerance: 3e-2 },
  { exporter: 'variants', family: 'qwen2', dtype: 'fp32', tolerance: 1e-3 },
  { exporter: 'variants', family: 'qwen2', dtype: 'fp16', tolerance: 3e-2 },
  { exporter: 'variants', family: 'qwen2', dtype: 'q4', tolerance: 1e-1 },
  { exporter: 'variants', family: 'qwen2', dtype: 'q4f16', tolerance: 1e-1 },
  { exporter: 'variants', family: 'qwen2', dtype: 'q8', tolerance: 3e-1 },
  { exporter: 'variants', family: 'smollm2', dtype: 'fp16', tolerance: 3e-2 },
  { exporter: 'variants', family: 'smollm2', dtype: 'q4', tolerance: 1e-1 },
  { exporter: 'variants', family: 'smollm2', dtype: 'q4f16', tolerance: 3e-1 },
  { exporter: 'variants', family: 'smollm2', dtype: 'q2', tolerance: 1e-1 },
  { exporter: 'variants', family: 'smollm2', dtype: 'q2f16', tolerance: 3e-1 },
  { exporter: 'variants', family: 'smollm2', dtype: 'bnb4', tolerance: 1e-3 },
  { exporter: 'variants', family: 'smollm2', dtype: 'int8', tolerance: 3e-1 },
  { exporter: 'variants', family: 'smollm2', dtype: 'uint8', tolerance: 3e-1 },
];

const ints = (values: readonly number[]): Tensor =>
  new Tensor('int64', BigInt64Array.from(values.map(BigInt)), [1, values.length]);

/** The uncut graph in ONNX Runtime: logits after a prompt. */
async function uncut(file: string, prompt: readonly number[]): Promise<Float32Array> {
  const session = await InferenceSession.create(file, { logSeverityLevel: 3 });
  const feeds: Record<string, Tensor> = {};
  for (const input of session.inputMetadata) {
    if (!input.isTensor) continue;
    const { name, shape, type } = input;
    if (name === 'input_ids') feeds[name] = ints(prompt);
    else if (name === 'position_ids') feeds[name] = ints(prompt.map((_, i) => i));
    else if (name === 'attention_mask') feeds[name] = ints(prompt.map(() => 1));
    else if (name === 'use_cache_branch') feeds[name] = new Tensor('bool', [false], [1]);
    else {
      const dims = [1, Number(shape[1]), 0, Number(shape[3])];
      feeds[name] =
        type === 'float16'
          ? new Tensor('float16', new Uint16Array(0), dims)
          : new Tensor('float32', new Float32Array(0), dims);
    }
  }
  const { logits } = await session.run(feeds, ['logits']);
  await session.release();
  const vocab = logits.dims[2];
  const row = logits.data.slice(-vocab) as Float32Array | Uint16Array;
  return row instanceof Uint16Array ? Float32Array.from(row, fromFloat16) : Float32Array.from(row);
}

describe('an export that is not exactly PyTorch computes what its uncut graph does', () => {
  it.each(CASES)('$exporter $family $dtype', async ({ exporter, family, dtype, tolerance }) => {
    const runner = await ExportRunner.load(exportDir(exporter, family), { dtype });
    onTestFinished(() => runner.dispose());
    for (const prompt of readGolden(family).prompts) {
      const [{ first }] = await runner.generate([prompt], 1, prompt.length);
      const expected = await uncut(runner.model.report.file, prompt);
      const worst = first.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i])), 0);
      expect(worst).toBeLessThan(tolerance);
    }
  });

  it('bfloat16, which ONNX Runtime has no kernels for here: close to PyTorch in float32', async () => {
    const runner = await ExportRunner.load(exportDir('genai-bf16', 'llama3'));
    onTestFinished(() => runner.dispose());
    expect(runner.model.report.rewrites).toContain('widened bfloat16 to float32');
    const { prompts, logits } = readGolden('llama3');
    const results = await runner.generate(prompts, 1, 64);
    results.forEach(({ first }, i) => {
      const spread = Math.max(...logits[i][0].map(Math.abs));
      const worst = first.reduce((max, x, j) => Math.max(max, Math.abs(x - logits[i][0][j])), 0);
      expect(worst).toBeLessThan(0.05 * spread);
    });
  });
});
