import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { cacheFileBytes } from '../../../engine/importer/emit/graph-cache.js';
import { refusalOf } from '../../../engine/importer/emit/refuse-sites.js';
import { ModelProtoSchema, type NodeProto } from '../../../engine/importer/onnx/onnx_pb.js';
import { plainLayer } from '../../support/attention-cases.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { ALL_RIGHT, nodesOf, pagedDecoder } from '../../support/paged-decoder.js';
import { TINY, tinyDecoder } from '../../support/tiny-decoder.js';

const attentionOf = (nodes: readonly NodeProto[]) =>
  nodes.filter(({ opType }) => opType === 'PagedAttention');

const attribute = (node: NodeProto, name: string): number | undefined => {
  const found = node.attribute.find((a) => a.name === name);
  return found && (found.i === 0n ? found.f : Number(found.i));
};

describe('a decoder for a device', () => {
  it('is one graph with paged attention in place of each attention node', async () => {
    const model = await pagedDecoder(exportDir('genai', 'llama3'));
    const attention = attentionOf(nodesOf(model));
    expect(attention.map(({ domain }) => domain)).toEqual(['com.microsoft', 'com.microsoft']);
    for (const [layer, node] of attention.entries()) {
      const { numHeads, numKvHeads, scale } = model.sites[layer];
      expect(attribute(node, 'num_heads')).toBe(numHeads);
      expect(attribute(node, 'kv_num_heads')).toBe(numKvHeads);
      expect(attribute(node, 'scale')).toBeCloseTo(scale, 6);
      expect(attribute(node, 'do_rotary')).toBe(1);
      // Without outputs for the cache, which is then written in place.
      expect(node.output).toHaveLength(1);
      expect(node.input.slice(3, 5)).toEqual([
        `octavo.key_cache.${layer}`,
        `octavo.value_cache.${layer}`,
      ]);
      // Without it, each layer reads the lengths back from the device.
      expect(node.input[16]).toBe('octavo.batch_sizes');
    }
    expect(model.whole.inputs.filter((name) => /past_key|mask/.test(name))).toEqual([]);
    expect(model.whole.outputs).toContain('octavo.top_logits');
    expect(model.cpuNodes).toEqual([]);
  });

  it('has its cache among its weights, where it is asked to', async () => {
    const { whole, sites } = await pagedDecoder(exportDir('genai', 'llama3'));
    const slots = sites.map(({ numKvHeads, headSize }) => ({ numKvHeads, headSize }));
    const cache = { slots, numBlocks: 9, blockSize: 32 };
    const graph = fromBinary(
      ModelProtoSchema,
      whole.write({ shape: cache, file: '/tmp/x/cache' }).model,
    ).graph;
    const caches = graph?.initializer.filter(({ name }) => name.includes('_cache.')) ?? [];
    expect(caches.map(({ name }) => name)).toEqual([
      'octavo.key_cache.0',
      'octavo.value_cache.0',
      'octavo.key_cache.1',
      'octavo.value_cache.1',
    ]);
    const { numKvHeads, headSize } = slots[0];
    expect(caches[0].dims.map(Number)).toEqual([9, 32, numKvHeads, headSize]);
    // Of a file apart: a cache of any size takes no byte of the model.
    expect(cacheFileBytes(cache)).toBe(2 * 9 * 32 * numKvHeads * headSize);
    expect(caches[0].rawData).toHaveLength(0);
    expect(graph?.input.map(({ name }) => name)).toEqual(whole.inputs);
    // Beside it, the cache is fed as well.
    const beside = fromBinary(ModelProtoSchema, whole.write(null).model).graph;
    expect(beside?.input).toHaveLength(whole.inputs.length + 4);
  });

  it('holds tables of rotation once for all layers', async () => {
    const { whole } = await pagedDecoder(exportDir('genai', 'llama3'));
    const weights = fromBinary(ModelProtoSchema, whole.write(null).model).graph?.initializer ?? [];
    expect(weights.filter(({ name }) => name.startsWith('octavo.rotary'))).toHaveLength(2);
  });

  it('rotates before attention where the operator takes no table of that width', async () => {
    const shape = { ...TINY, headSize: 8 };
    const bytes = tinyDecoder({ rotary: 'interleaved', shape }).bytes();
    const model = await pagedDecoder(modelDir({ 'model.onnx': bytes }), ALL_RIGHT, 32);
    expect(model.sites[0].rotary?.dim).toBe(8);
    const nodes = nodesOf(model);
    const rotations = nodes.filter(({ opType }) => opType === 'RotaryEmbedding');
    expect(rotations).toHaveLength(2 * model.sites.length);
    for (const node of rotations) expect(attribute(node, 'interleaved')).toBe(1);
    for (const node of attentionOf(nodes)) expect(attribute(node, 'do_rotary')).toBeUndefined();
    // Its tables then bound the tokens of a step.
    expect(model.maxStepTokens).not.toBeNull();
  });

  it('gives layers with windows block tables of their groups', async () => {
    const model = await pagedDecoder(exportDir('genai', 'gemma3'));
    const attention = attentionOf(nodesOf(model));
    expect(model.layout.groups.length).toBeGreaterThan(1);
    for (const [layer, node] of attention.entries()) {
      const { slot, group } = model.layout.layers[layer];
      expect(node.input[3]).toBe(`octavo.key_cache.${slot}`);
      expect(node.input[7]).toBe(`octavo.block_table.${group}`);
      const { slidingWindow } = model.sites[layer];
      expect(attribute(node, 'local_window_size')).toBe(slidingWindow || undefined);
    }
  });

  it('leaves experts to the CPU, by names that are their own', async () => {
    const model = await pagedDecoder(exportDir('genai', 'gpt-oss'));
    const experts = nodesOf(model).filter(({ opType }) => opType === 'MoE');
    expect(model.cpuNodes).toEqual(experts.map(({ name }) => name));
    expect(new Set(model.cpuNodes).size).toBe(model.sites.length);
    expect(model.report.rewrites.join('\n')).toContain('left 2 nodes of experts to the CPU');
    for (const node of attentionOf(nodesOf(model))) expect(node.input[11]).toMatch(/sinks$/);
  });
});

describe('attention that a device cannot compute', () => {
  it.each([
    ['optimum', 'bloom', /adds a bias to its scores \(ALiBi\)/],
    ['genai', 'gemma2', /caps its scores \(softcap \d/],
    ['transformers-5', 'gemma4', /reads the keys and values of layer \d/],
  ])('is refused by name: %s/%s', async (exporter, family, reason) => {
    const refused = pagedDecoder(exportDir(exporter, family));
    await expect(refused).rejects.toThrow(reason);
    await expect(refused).rejects.toThrow(
      /(model|decode)\.onnx: node \S+ \(.*Serve it with --device cpu$/,
    );
    await expect(refused).rejects.toMatchObject({ kind: 'model_unsupported' });
  });

  it('is refused where the self-test has failed', async () => {
    const wrong = 'it differs by 3';
    const load = (family: string, abilities = {}) =>
      pagedDecoder(exportDir('genai', family), { ...ALL_RIGHT, ...abilities });
    await expect(load('mistral', { windows: wrong })).rejects.toThrow(
      /has a sliding window, which this device computes wrong \(it differs by 3\)/,
    );
    await expect(load('gpt-oss', { sinks: wrong })).rejects.toThrow(/has attention sinks, which/);
    await expect(load('llama3', { plain: wrong })).rejects.toThrow(/attends over pages, which/);
    await expect(load('llama3', { windows: wrong, sinks: wrong })).resolves.toBeDefined();
  });

  it('has heads of a size that the kernels do not take', () => {
    const borders = { query: 'q', key: 'k', value: 'v', output: 'o', layer: 0, node: '', form: '' };
    const refusal = (size: number) => refusalOf({ ...plainLayer(size), ...borders }, ALL_RIGHT);
    expect(refusal(20)).toBe('has heads of 20 numbers, and only multiples of 8 can be');
    expect(refusal(24)).toBeNull();
  });
});
