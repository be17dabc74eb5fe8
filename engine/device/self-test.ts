import { dirname } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import type { AttentionShape } from '../attention/paged-attention.js';
import { ReferenceAttention } from '../attention/reference-attention.js';
import { DEVICE_INPUT } from '../importer/emit/device-inputs.js';
import {
  type CacheShape,
  cacheInitializers,
  cacheInputs,
  type OwnCache,
  type PagedGraph,
} from '../importer/emit/graph-cache.js';
import { PagedAttentionNodes } from '../importer/emit/paged-attention-nodes.js';
import type { DeviceAbilities } from '../importer/emit/refuse-sites.js';
import { Graph } from '../importer/graph.js';
import { STEP_INPUT } from '../importer/imported-model.js';
import { importMicrosoft, makeValueInfo } from '../importer/onnx/nodes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType as Type,
} from '../importer/onnx/onnx_pb.js';
import { writeModel } from '../importer/write-model.js';
import { floats, take } from '../runner/tensors.js';
import { batchTensors } from './device-batch.js';
import { type DeviceForm, PagedSession } from './paged-session.js';
import { type TestStep, testSteps } from './self-test-steps.js';

/** Tokens that a window is shortened to, so that short texts go beyond it. */
const WINDOW = 24;
const NUM_BLOCKS = 12;

/**
 * Largest difference from the reference, where outputs are up to 1: right kernels differed by 3e-3
 * at most, by the rounding of float16, and wrong ones by 4e-2 and more.
 */
const TOLERANCE = 2e-2;

/**
 * Runs attention layers on the device as a model's graph has them, on random numbers, and compares
 * them with the plain reference: prompts, prompts in pieces beside single tokens, and single tokens
 * alone. Drivers and kernels differ, and a wrong one would give wrong text without any error.
 *
 * @param layers of a model; each kind of layer among them is tested once
 * @throws OctavoError `device_unavailable` without a GPU
 */
export async function testDevice(
  layers: readonly AttentionShape[],
  blockSize: number,
  form: DeviceForm = { provider: 'webgpu', cache: 'tensors' },
): Promise<DeviceAbilities> {
  const found: Record<keyof DeviceAbilities, string | null> = {
    plain: null,
    windows: null,
    sinks: null,
  };
  for (const layer of kindsOf(layers)) {
    const needs = [
      ...(layer.slidingWindow > 0 ? (['windows'] as const) : []),
      ...(layer.sinks ? (['sinks'] as const) : []),
    ];
    const asks = needs.length > 0 ? needs : (['plain'] as const);
    const reason = await compareLayer(layer, blockSize, form);
    for (const ability of asks) found[ability] ??= reason;
  }
  return found;
}

/** One layer of each kind, with a short window. Every kind is also tested without extras. */
function kindsOf(layers: readonly AttentionShape[]): AttentionShape[] {
  const kinds = new Map<string, AttentionShape>();
  for (const layer of layers) {
    const plain = { ...layer, slidingWindow: 0, sinks: null };
    const whole = { ...layer, slidingWindow: Math.min(layer.slidingWindow, WINDOW) };
    for (const kind of [plain, whole]) {
      const { numHeads, numKvHeads, headSize, slidingWindow, sinks, rotary } = kind;
      const heads = [numHeads, numKvHeads, headSize, slidingWindow, sinks !== null];
      const key = JSON.stringify([heads, rotary && [rotary.dim, rotary.interleaved]]);
      if (!kinds.has(key)) kinds.set(key, kind);
    }
  }
  return [...kinds.values()];
}

/** @returns what is wrong; null: nothing */
async function compareLayer(
  shape: AttentionShape,
  blockSize: number,
  form: DeviceForm,
): Promise<string | null> {
  const { numKvHeads, headSize } = shape;
  const sizes = { numBlocks: NUM_BLOCKS, blockSize };
  const cache = { slots: [{ numKvHeads, headSize }], ...sizes };
  const session = await PagedSession.open(layerGraph(shape), cache, form);
  try {
    const reference = new ReferenceAttention({
      layers: [shape],
      ...sizes,
      kvDtype: 'f32',
      threads: 1,
    });
    for (const step of testSteps(shape)) {
      const results = await session.run(feedsOf(step, shape, cache));
      const difference = largest(floats(take(results, 'output')), expected(reference, step, shape));
      if (!(difference <= TOLERANCE)) {
        return `it differs from the reference by ${difference.toPrecision(2)} in ${step.name}`;
      }
    }
    return null;
  } finally {
    await session.dispose();
  }
}

const INTEGERS = [
  DEVICE_INPUT.queryStarts,
  DEVICE_INPUT.pastLengths,
  DEVICE_INPUT.batchSizes,
  DEVICE_INPUT.blockTable(0),
];

function layerGraph(shape: AttentionShape): PagedGraph {
  return {
    inputs: ['query', 'key', 'value', ...INTEGERS, STEP_INPUT.positionIds],
    outputs: ['output'],
    write: (cache) => ({
      model: layerModel(shape, cache),
      weightsDir: cache && dirname(cache.file),
    }),
  };
}

/** A graph of one attention layer, `[1, T, width]` in float32 at its borders. */
function layerModel(shape: AttentionShape, cache: OwnCache | null): Uint8Array {
  const value = (name: string, type = Type.FLOAT) => makeValueInfo(name, type);
  const graph = new Graph(
    create(ModelProtoSchema, {
      irVersion: 10n,
      opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 21n })],
      graph: create(GraphProtoSchema, {
        name: 'layer',
        input: [
          ...['query', 'key', 'value'].map((name) => value(name)),
          ...INTEGERS.map((name) => value(name, Type.INT32)),
          value(STEP_INPUT.positionIds, Type.INT64),
          ...(cache ? [] : cacheInputs(1)).map((name) => value(name, Type.FLOAT16)),
        ],
        output: [value('output')],
        initializer: cache ? cacheInitializers(cache, dirname(cache.file)) : [],
      }),
    }),
    'self-test',
  );
  importMicrosoft(graph.model);
  const borders = { query: 'query', key: 'key', value: 'value', output: 'output' };
  const site = { ...shape, ...borders, layer: 0, node: 'attention', form: 'self-test' };
  graph.addNodes(...new PagedAttentionNodes(graph).of(site, { slot: 0, group: 0 }));
  return writeModel(graph);
}

function feedsOf(
  step: TestStep,
  { numHeads, numKvHeads, headSize }: AttentionShape,
  cache: CacheShape,
): Map<string, Tensor> {
  const { numTokens, batch, positions } = step;
  const rows = (values: Float32Array, heads: number): Tensor =>
    new Tensor('float32', values, [1, numTokens, heads * headSize]);
  return new Map([
    ['query', rows(step.query, numHeads)],
    ['key', rows(step.key, numKvHeads)],
    ['value', rows(step.value, numKvHeads)],
    [STEP_INPUT.positionIds, new Tensor('int64', positions, [1, numTokens])],
    ...batchTensors(batch, { ...cache, maxLength: 2 ** 20 }),
  ]);
}

function expected(
  reference: ReferenceAttention,
  { batch, numTokens, query, key, value }: TestStep,
  { numHeads, headSize }: AttentionShape,
): Float32Array {
  const output = new Float32Array(numTokens * numHeads * headSize);
  reference.beginStep(batch);
  reference.store(0, key, value);
  reference.attend(0, query, output);
  return output;
}

function largest(actual: Float32Array, wanted: Float32Array): number {
  let worst = actual.length === wanted.length ? 0 : Number.POSITIVE_INFINITY;
  for (const [i, x] of wanted.entries()) {
    const difference = Math.abs(actual[i] - x);
    // (NaN is the worst.)
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}
