import { readdirSync } from 'node:fs';
import { create, fromBinary } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import { expect, it, onTestFinished } from 'vitest';
import { graphOf } from '../../../engine/architectures/build-model.js';
import { describeModel } from '../../../engine/architectures/describe-model.js';
import { splitRows } from '../../../engine/attention/packed-rows.js';
import { Graph } from '../../../engine/importer/graph.js';
import { type ImportedModel, STEP_INPUT } from '../../../engine/importer/imported-model.js';
import { makeNode, makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  ModelProtoSchema,
  TensorProto_DataType as Type,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { packSites } from '../../../engine/importer/passes/pack-sites.js';
import type { QuantizedKind } from '../../../engine/importer/quantize/quantization.js';
import { quantizeModel } from '../../../engine/importer/quantize/quantize-model.js';
import { SITE } from '../../../engine/importer/recognizers/replace-site.js';
import { openModel } from '../../../engine/model/open-model.js';
import { createSession } from '../../../engine/runner/segment-session.js';
import { checkpointDir } from '../../support/checkpoint-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

function open(
  fixture: string,
  kind: QuantizedKind | null,
  options: { readonly hasAdapters?: boolean } = {},
): Promise<ImportedModel> {
  const quantize = kind && { kind, nbits: false, cacheDir: modelDir({}) };
  const model = { modelDir: checkpointDir(fixture), maxLength: 64 };
  return openModel({ ...model, ...options, ...(quantize && { quantize }) });
}

/** How often each operator is in a segment. */
function operators({ segments }: ImportedModel, index: number): (opType: string) => number {
  const { graph } = fromBinary(ModelProtoSchema, segments[index].model);
  return (opType) => (graph?.node ?? []).filter((node) => node.opType === opType).length;
}

/** What the first segment makes of some tokens. */
async function firstOutputs(model: ImportedModel): Promise<Readonly<Record<string, Tensor>>> {
  const [segment] = model.segments;
  const session = await createSession({ index: 0, model: segment.model }, model, 1);
  onTestFinished(() => session.release());
  const ids = BigInt64Array.of(3n, 17n, 5n, 44n, 8n);
  const feeds: Record<string, Tensor> = {
    [STEP_INPUT.inputIds]: new Tensor('int64', ids, [1, 5]),
    [STEP_INPUT.zeroPoints]: new Tensor('uint8', new Uint8Array(5).fill(128), [5]),
  };
  const names = segment.inputs;
  return session.run(Object.fromEntries(names.map((name) => [name, feeds[name]])), segment.outputs);
}

const SHAPE = {
  softcap: 0,
  slidingWindow: 0,
  sinks: null,
  alibiSlopes: null,
  rotary: null,
} as const;

const floats = (tensor: Tensor): Float32Array => tensor.data as Float32Array;

// With a bias for each, in bfloat16, and without any.
it.each([
  ['qwen2', 'w8a8', 'MatMulIntegerToFloat'],
  ['llama3', 'w8a8', 'MatMulIntegerToFloat'],
  ['llama3', 'q4', 'MatMulNBits'],
] as const)('%s as %s makes queries, keys and values by one matmul', async (fixture, kind, op) => {
  const model = await open(fixture, kind);
  const count = operators(model, 0);
  expect(count(op)).toBe(1);
  expect(count('Split')).toBe(0);
  const [{ packed = '', numHeads, numKvHeads, headSize }] = model.sites;
  expect(model.segments[0].outputs).toContain(packed);
  const rows = floats((await firstOutputs(model))[packed]);
  expect(rows).toHaveLength(5 * (numHeads + 2 * numKvHeads) * headSize);
});

it.each(['w8a8', 'q8', 'q4'] as const)('gives the numbers of three matmuls: %s', async (kind) => {
  const joined = await open('qwen2', kind);
  // Adapters change each of the three by itself.
  const apart = await open('qwen2', kind, { hasAdapters: true });
  expect(apart.sites[0].packed).toBeUndefined();
  const [{ query, key, value, numHeads, numKvHeads, headSize }] = apart.sites;
  const widths = [numHeads * headSize, numKvHeads * headSize, numKvHeads * headSize] as const;
  const { packed = '' } = joined.sites[0];
  const parts = splitRows(floats((await firstOutputs(joined))[packed]), widths);
  const outputs = await firstOutputs(apart);
  for (const [i, name] of [query, key ?? '', value ?? ''].entries()) {
    expect(parts[i]).toEqual(floats(outputs[name]));
  }
});

it('keeps both forms apart in the model cache', async () => {
  const cacheDir = modelDir({});
  const description = await describeModel(checkpointDir('qwen2'), 'model.safetensors.index.json');
  for (const joins of ['none', 'all'] as const) {
    const { graph } = graphOf(description, 64, joins);
    await quantizeModel(graph, { kind: 'q4', nbits: false, cacheDir });
  }
  expect(readdirSync(cacheDir)).toHaveLength(2);
});

it('splits in the graph where norms follow', async () => {
  const model = await open('qwen3', 'w8a8');
  const count = operators(model, 0);
  expect(count('MatMulIntegerToFloat')).toBe(1);
  expect(count('Split')).toBe(1);
  expect(model.sites[0].packed).toBeUndefined();
});

it('joins nothing that is not written anyway', async () => {
  const model = await open('llama3', null);
  expect(operators(model, 0)('FusedMatMul')).toBe(3);
  expect(model.sites[0].packed).toBeUndefined();
});

it('reads a packed matrix as it comes', async () => {
  const model = await open('gpt2', null);
  expect(operators(model, 0)('Split')).toBe(0);
  expect(model.sites[0].packed).toBeDefined();
});

it.each([
  ['read by no other node', ['q', 'k', 'v'], [], 'x'],
  ['read by another', ['q', 'k', 'v'], [makeNode('Identity', 'other', ['v'], ['z'])], undefined],
  ['in another order', ['q', 'v', 'k'], [], undefined],
] as const)('parts of a tensor, %s', (_, parts, others, packed) => {
  const split = makeNode('Split', 'split', ['x'], parts, { axis: -1 });
  const node = makeNode(SITE, 'site', ['q', 'k', 'v'], ['y']);
  const input = [makeValueInfo('x', Type.FLOAT)];
  const model = create(ModelProtoSchema, { graph: { input, node: [split, node, ...others] } });
  const shape = { ...SHAPE, numHeads: 2, numKvHeads: 1, headSize: 8, scale: 1 };
  const tensors = { query: 'q', key: 'k', value: 'v', output: 'y', cache: null };
  const site = { form: 'described', node, shape, ...tensors };
  const [found] = packSites(new Graph(model, 'model.onnx'), [site]);
  expect('packed' in found ? found.packed : undefined).toBe(packed);
});

it('takes parts out of rows', () => {
  expect(splitRows(Float32Array.of(1, 2, 3, 4, 11, 12, 13, 14), [2, 1, 1])).toEqual([
    Float32Array.of(1, 2, 11, 12),
    Float32Array.of(3, 13),
    Float32Array.of(4, 14),
  ]);
});
