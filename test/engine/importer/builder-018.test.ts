import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { formatReport } from '../../../engine/importer/inspect.js';
import { type ModelProto, ModelProtoSchema } from '../../../engine/importer/onnx/onnx_pb.js';
import { checkConfig } from '../../../engine/model/check-config.js';
import { readModelConfig } from '../../../engine/model/model-config.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { importFailure } from './import-failure.js';

function read(exporter: string, family: string): ModelProto {
  const file = join(exportDir(exporter, family), 'model.onnx');
  return fromBinary(ModelProtoSchema, readFileSync(file));
}

const write = (model: ModelProto): string =>
  modelDir({ 'model.onnx': toBinary(ModelProtoSchema, model) });

/** What they compute is compared in exports.test.ts and export-oracle.test.ts. */
describe('an export of the model builder 0.18', () => {
  it.each([
    ['genai-0.18', 'gemma2', [24, 0, 24, 0]],
    ['genai-0.18', 'gpt-oss', [24, 0]],
    ['genai-0.18', 'qwen2-window', [0, 24]],
  ])('keeps its windows, whose caches are no longer: %s %s', async (exporter, family, windows) => {
    const { sites } = await importModel({ modelDir: exportDir(exporter, family) });
    expect(sites.map(({ slidingWindow }) => slidingWindow)).toEqual(windows);
  });

  it('gets its norms written out where they are inside of attention', async () => {
    const { report } = await importModel({ modelDir: exportDir('genai-0.18-int4-cuda', 'qwen3') });
    expect(report.rewrites).toContain('wrote out the query and key norms of 2 nodes');
    expect(report.rewrites).toContain('took the head size of 8 caches from the weights');
  });

  it('takes the epsilon that is stated for one side before that of both', async () => {
    const model = read('genai-0.18-webgpu', 'qwen3');
    for (const { opType, attribute } of model.graph?.node ?? []) {
      if (opType !== 'GroupQueryAttention') continue;
      const both = attribute.find(({ name }) => name === 'qk_norm_epsilon');
      if (both) attribute.push({ ...both, name: 'k_norm_epsilon', f: 0.5 });
    }
    const { segments } = await importModel({ modelDir: write(model) });
    const norms = segments
      .flatMap((segment) => fromBinary(ModelProtoSchema, segment.model).graph?.node ?? [])
      .filter(({ output }) => /octavo.normed.flat/.test(output[0]));
    const epsilons = norms.map(({ attribute }) => attribute.find((a) => a.name === 'epsilon')?.f);
    expect(epsilons).toHaveLength(4);
    expect(epsilons.filter((epsilon) => epsilon === 0.5)).toHaveLength(2);
  });

  it('must have heads of the size that genai_config.json states', async () => {
    const directory = exportDir('genai-0.18', 'llama3');
    const model = await importModel({ modelDir: directory });
    const config = await readModelConfig(directory);
    expect(config.headSize).toBe(16);
    expect(() => checkConfig({ ...config, headSize: 32 }, model)).toThrow(
      /head_size in genai_config.json of 32, but .* has 16/,
    );
  });

  it('rotates no more tokens at once than its tables of three positions have rows', async () => {
    const { maxStepTokens, report } = await importModel({
      modelDir: exportDir('genai-0.18', 'qwen2.5-vl'),
    });
    expect(maxStepTokens).toBe(256);
    expect(report.rewrites.join('\n')).toContain('its position three times');
  });
});

describe('an export of the model builder 0.18 that is not served', () => {
  const refusal = async (directory: string): Promise<string> => {
    const { kind, message } = await importFailure(directory);
    expect(kind).toBe('model_unsupported');
    return message;
  };

  it('has no cache at all (-p fp32 -e cuda): the message names what to export', async () => {
    expect(await refusal(exportDir('genai-0.18-cuda', 'llama'))).toMatch(
      /it has no past.* with -p fp32 -e cpu it writes attention with a cache/,
    );
  });

  it('has pages of its own (use_paged_attention)', async () => {
    const model = read('genai-0.18', 'llama3');
    for (const node of model.graph?.node ?? [])
      if (node.opType === 'GroupQueryAttention') node.opType = 'PagedAttention';
    expect(await refusal(write(model))).toContain('without the model builder');
  });

  it('quantizes its cache (kv_cache_quant_scheme)', async () => {
    const model = read('genai-0.18', 'llama3');
    for (const { attribute } of model.graph?.node ?? []) {
      const any = attribute.find(({ name }) => name === 'do_rotary');
      if (any) attribute.push({ ...any, name: 'kv_cache_bit_width', i: 8n });
    }
    expect(await refusal(write(model))).toMatch(/kv_cache_quant_scheme, .*--kv-dtype/);
  });
});

describe('the report of an import', () => {
  it.each([
    ['genai-0.18', 'llama3', "ONNX Runtime GenAI's model builder 0.18.0+00d66ef"],
    ['genai', 'llama3', "ONNX Runtime GenAI's model builder"],
    ['optimum', 'llama3', "torch's TorchScript exporter (Optimum's), torch 2.13.0"],
    ['torch-23', 'llama3', "torch's dynamo exporter, torch 2.13.0+cpu"],
    ['ort-fused', 'gpt2', "ONNX Runtime's transformer optimizer 1.32.0"],
    ['variants', 'gpt2', 'onnx.quantize 0.1.0, of a graph by Optimum, a merged decoder'],
  ])('names the exporter of %s/%s', async (exporter, family, expected) => {
    const { report } = await importModel({ modelDir: exportDir(exporter, family) });
    expect(report.exporter).toBe(expected);
  });

  it('counts nodes so that the numbers agree', async () => {
    const model = await importModel({ modelDir: exportDir('genai-0.18', 'llama3') });
    const { rewrites, segments, nodes } = model.report;
    const line = rewrites.find((rewrite) => rewrite.startsWith('kept') && rewrite.includes('file'));
    const numbers = /kept (\d+) of the file's (\d+) nodes and added (\d+), in 3 segments;/.exec(
      line ?? '',
    );
    const [kept, all, added] = numbers?.slice(1).map(Number) ?? [];
    expect(all).toBe(nodes);
    expect(kept).toBeLessThan(nodes);
    expect(kept + added).toBe(segments.reduce((n, segment) => n + segment.nodes, 0));
    expect(formatReport(model)).toMatch(/exporter +ONNX Runtime GenAI's model builder 0\.18\.0/);
  });
});
