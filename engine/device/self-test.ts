import { create } from '@bufbuild/protobuf';
import { Tensor } from 'onnxruntime-node';
import type { AttentionShape } from '../attention/paged-attention.js';
import { ReferenceAttention } from '../attention/reference-attention.js';
import { DEVICE_INPUT } from '../importer/emit/device-inputs.js';
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
import { floats } from '../runner/tensors.js';
import { batchTensors } from './device-batch.js';
import { DeviceCache } from './device-cache.js';
import { createDeviceSession } from './device-session.js';
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
    const reason = await compareLayer(layer, blockSize);
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
async function compareLayer(shape: AttentionShape, blockSize: number): Promise<string | null> {
  const { numKvHeads, headSize } = shape;
  const cache = await DeviceCache.create({
    slots: [{ numKvHeads, headSize }],
    numBlocks: NUM_BLOCKS,
    blockSize,
  });
  try {
    const session = await createDeviceSession(layerModel(shape));
    try {
      const reference = new ReferenceAttention({
        layers: [shape],
        numBlocks: NUM_BLOCKS,
        blockSize,
        kvDtype: 'f32',
        threads: 1,
      });
      for (const step of testSteps(shape)) {
        const results = await session.run(feedsOf(step, shape, cache), ['output']);
        const difference = largest(floats(results['output']), expected(reference, step, shape));
        if (!(difference <= TOLERANCE)) {
          return `it differs from the reference by ${difference.toPrecision(2)} in ${step.name}`;
        }
      }
      return null;
    } finally {
      await session.release();
    }
  } finally {
    await cache.dispose();
  }
}

/** A graph of one attention layer, `[1, T, width]` in float32 at its borders. */
function layerModel(shape: AttentionShape): Uint8Array {
  const value = (name: string, type = Type.FLOAT) => makeValueInfo(name, type);
  const { queryStarts, pastLengths, batchSizes, blockTable, keyCache, valueCache } = DEVICE_INPUT;
  const integers = [queryStarts, pastLengths, batchSizes, blockTable(0)];
  const graph = new Graph(
    create(ModelProtoSchema, {
      irVersion: 10n,
      opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 21n })],
      graph: create(GraphProtoSchema, {
        name: 'layer',
        input: [
          ...['query', 'key', 'value'].map((name) => value(name)),
          ...integers.map((name) => value(name, Type.INT32)),
          value(STEP_INPUT.positionIds, Type.INT64),
          ...[keyCache(0), valueCache(0)].map((name) => value(name, Type.FLOAT16)),
        ],
        output: [value('output')],
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
  cache: DeviceCache,
): Record<string, Tensor> {
  const { numTokens, batch, positions } = step;
  const rows = (values: Float32Array, heads: number): Tensor =>
    new Tensor('float32', values, [1, numTokens, heads * headSize]);
  return {
    query: rows(step.query, numHeads),
    key: rows(step.key, numKvHeads),
    value: rows(step.value, numKvHeads),
    [STEP_INPUT.positionIds]: new Tensor('int64', positions, [1, numTokens]),
    ...Object.fromEntries(batchTensors(batch, { ...cache.config, maxLength: 2 ** 20 })),
    [DEVICE_INPUT.keyCache(0)]: cache.keys(0),
    [DEVICE_INPUT.valueCache(0)]: cache.values(0),
  };
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
