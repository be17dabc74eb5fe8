import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { MICROSOFT, makeNode, makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType as Type,
} from '../../../engine/importer/onnx/onnx_pb.js';
import {
  inputWidths,
  isDelta,
  isGated,
  outputWidth,
  type Recurrence,
  stateSize,
  tensorDims,
} from '../../../engine/recurrent/recurrence.js';
import { advanceReference } from '../../../engine/recurrent/reference-recurrence.js';
import { anyRecurrence, randomInputs } from '../../support/recurrence-cases.js';

/** A layer as ONNX Runtime's own operator computes it, for one sequence. */
async function byOperator(
  layer: Recurrence,
  inputs: readonly Float32Array[],
  state: Float32Array,
  numTokens: number,
): Promise<{ readonly output: Float32Array; readonly state: Float32Array }> {
  const feeds: Record<string, Tensor> = {};
  const names: string[] = [];
  const feed = (name: string, values: Float32Array | null, dims: readonly number[]): void => {
    names.push(values ? name : '');
    if (values) feeds[name] = new Tensor('float32', values, dims);
  };
  const rows = (index: number): number[] => tensorDims(layer, inputWidths(layer)[index], numTokens);
  const isConvolution = layer.kind === 'convolution';
  if (isConvolution) {
    const { channels, taps } = layer;
    feed('x', inputs[0], rows(0));
    feed('weight', layer.weight, [channels, 1, taps]);
    feed('bias', layer.bias, [channels]);
    feed('state', state, [1, channels, taps - 1]);
  } else {
    for (const [i, name] of ['query', 'key', 'value'].entries()) feed(name, inputs[i], rows(i));
    feed('state', state, [1, layer.numHeads, layer.keySize, layer.valueSize]);
    let next = 3;
    for (const [name, has] of [
      ['decay', isGated(layer)],
      ['rate', isDelta(layer)],
    ] as const) {
      feed(name, has ? inputs[next] : null, has ? rows(next) : []);
      if (has) next += 1;
    }
  }
  const node = isConvolution
    ? makeNode('CausalConvWithState', 'node', names, ['y', 'present'])
    : makeNode('LinearAttention', 'node', names, ['y', 'present'], {
        q_num_heads: layer.numQueryHeads,
        kv_num_heads: layer.numHeads,
      });
  node.domain = MICROSOFT;
  const [name, text] = isConvolution
    ? ['activation', layer.activation]
    : ['update_rule', layer.rule];
  const type = AttributeProto_AttributeType;
  node.attribute.push(
    create(AttributeProtoSchema, { name, type: type.STRING, s: new TextEncoder().encode(text) }),
  );
  if (!isConvolution) {
    node.attribute.push(
      create(AttributeProtoSchema, { name: 'scale', type: type.FLOAT, f: layer.scale }),
    );
  }
  const info = (tensor: string) => makeValueInfo(tensor, Type.FLOAT);
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: '', version: 21n }),
      create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }),
    ],
    graph: create(GraphProtoSchema, {
      name: 'one',
      node: [node],
      input: Object.keys(feeds).map(info),
      output: [info('y'), info('present')],
    }),
  });
  const session = await InferenceSession.create(toBinary(ModelProtoSchema, model), {
    intraOpNumThreads: 1,
  });
  try {
    const { y, present } = await session.run(feeds);
    return { output: y.data as Float32Array, state: present.data as Float32Array };
  } finally {
    await session.release();
  }
}

/** Largest difference, relative to the largest number. */
function difference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  const largest = a.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-3);
  return a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i])), 0) / largest;
}

describe('the reference of layers with a state', () => {
  it("computes what ONNX Runtime's operators do", async () => {
    await fc.assert(
      fc.asyncProperty(anyRecurrence, fc.integer({ min: 1, max: 9 }), async (layer, numTokens) => {
        const inputs = randomInputs(layer, numTokens, 1);
        const state = randomInputs(layer, numTokens, 2, [stateSize(layer)])[0];
        const expected = await byOperator(layer, inputs, state, numTokens);
        const output = new Float32Array(outputWidth(layer) * numTokens);
        const range = { first: 0, count: numTokens, total: numTokens };
        advanceReference(layer, inputs, state, output, range);
        expect(difference(expected.output, output)).toBeLessThan(2e-5);
        expect(difference(expected.state, state)).toBeLessThan(2e-5);
      }),
      { numRuns: 60, seed: 20261201 },
    );
  });
});
