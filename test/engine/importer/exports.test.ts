import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it, onTestFinished } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { ModelProtoSchema } from '../../../engine/importer/onnx/onnx_pb.js';
import {
  ExportRunner,
  exportDir,
  exportedFamilies,
  type Golden,
  readGolden,
} from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

/** Exporters whose models compute in float32: equal to PyTorch. */
const EXACT = [
  'genai',
  'genai-0.18',
  'genai-0.18-webgpu',
  'genai-separate',
  'genai-mha',
  'optimum',
  'ort-fused',
  'torch-18',
  'torchscript-13',
  'torch-23',
  'mobius',
  'torch-24',
  'torch-24-masked',
  'torch-24-written',
];
const CHUNK = 24;

/**
 * LongRoPE: transformers takes its tables by the length that a sequence has, Octavo by the longest
 * that is served.
 */
const SERVED = new Map([['phi4-mini', 128]]);

function worst(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i])), 0);
}

async function expectParity(runner: ExportRunner, golden: Golden): Promise<void> {
  const newTokens = golden.tokens[0].length;
  const batched = await runner.generate(golden.prompts, newTokens, CHUNK);
  const alone = await runner.generate([golden.prompts[1]], newTokens, CHUNK);
  const all = [...batched.map((result, i) => ({ result, i })), { result: alone[0], i: 1 }];
  for (const { result, i } of all) {
    expect(result.tokens).toEqual(golden.tokens[i]);
    expect(worst(result.first, golden.logits[i][0])).toBeLessThan(1e-3);
    expect(worst(result.last, golden.logits[i][1])).toBeLessThan(1e-3);
  }
}

/**
 * Graphs that are not what PyTorch computes, by the exporter's doing: they are compared with
 * themselves, uncut.
 */
const UNLIKE_PYTORCH = new Set([
  // The window lies on the other layers than in transformers.
  'genai/gemma2',
  // The mask has no window.
  'genai-mha/mistral',
  // Traced through PyTorch's fused attention, which knows no softcap.
  'optimum/gemma2',
  // The same, where transformers scales ALiBi otherwise than in its eager attention.
  'optimum/falcon',
]);

describe('LongRoPE, whose tables depend on the length', () => {
  it('takes those of long sequences when they are served', async () => {
    const runner = await ExportRunner.load(exportDir('genai', 'phi4-mini'), { servedLength: 256 });
    onTestFinished(() => runner.dispose());
    expect(runner.model.report.rewrites.join('\n')).toContain('took those for 256 tokens');
    await expectParity(runner, readGolden('phi4-mini-long'));
  });
});

describe('an attention node without a scale', () => {
  it.each(['genai-mha/llama2', 'torch-23/llama3'])('has the usual one: %s', async (name) => {
    const [exporter, family] = name.split('/');
    const source = exportDir(exporter, family);
    const model = fromBinary(ModelProtoSchema, readFileSync(join(source, 'model.onnx')));
    for (const node of model.graph?.node ?? []) {
      if (!node.opType.endsWith('Attention')) continue;
      node.attribute = node.attribute.filter((attribute) => attribute.name !== 'scale');
    }
    const bytes = toBinary(ModelProtoSchema, model);
    const { sites } = await importModel({ modelDir: modelDir({ 'model.onnx': bytes }) });
    expect(sites.map(({ scale }) => scale)).toEqual([0.25, 0.25]);
  });
});

describe.each(EXACT)('an export by %s equals PyTorch', (exporter) => {
  it.each(
    exportedFamilies(exporter).filter((family) => !UNLIKE_PYTORCH.has(`${exporter}/${family}`)),
  )('%s', async (family) => {
    const runner = await ExportRunner.load(exportDir(exporter, family), {
      servedLength: SERVED.get(family),
    });
    onTestFinished(() => runner.dispose());
    await expectParity(runner, readGolden(family));
  });
});
