import { expect, it } from 'vitest';
import type { Quantization } from '../../../engine/importer/quantize/quantization.js';
import { memoryNeeds } from '../../../engine/model/memory-needs.js';
import { openModel } from '../../../engine/model/open-model.js';
import { checkpointDir, quantizedDir } from '../../support/checkpoint-fixtures.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

/** Bytes of the weights of a model that was opened. */
async function openedBytes(directory: string, kind: Quantization): Promise<number> {
  const widen = { cacheDir: modelDir({}) };
  const quantize = kind === 'none' ? {} : { quantize: { kind, nbits: false, ...widen } };
  const { report } = await openModel({ modelDir: directory, widen, ...quantize });
  return Object.values(report.weights).reduce((sum, bytes) => sum + bytes, 0);
}

// Tied and untied; experts; packed already; an ONNX file.
it.each([
  ['qwen2', checkpointDir('qwen2')],
  ['llama3', checkpointDir('llama3')],
  ['mixtral', checkpointDir('mixtral')],
  ['awq', quantizedDir('awq')],
  ['fp8-blocks', quantizedDir('fp8-blocks')],
  ['an export', exportDir('genai', 'llama2')],
])('%s takes about what is foretold of it', async (_, directory) => {
  for (const kind of ['none', 'w8a8', 'q8', 'q4'] as const) {
    const { weightBytes } = await memoryNeeds(
      { modelDir: directory },
      { quantize: kind, nbits: false, kvDtype: 'f32' },
    );
    const ratio = weightBytes / (await openedBytes(directory, kind));
    expect(ratio).toBeGreaterThan(0.95);
    expect(ratio).toBeLessThan(1.08);
  }
});

it('auto takes what it chooses', async () => {
  const needs = (quantize: Quantization) =>
    memoryNeeds({ modelDir: checkpointDir('qwen2') }, { quantize, nbits: false, kvDtype: 'f32' });
  // A model so small stays what it is.
  expect(await needs('auto')).toEqual(await needs('none'));
  expect(await needs('q4')).not.toEqual(await needs('none'));
});
