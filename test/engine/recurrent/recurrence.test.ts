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
import { KernelRecurrence } from '../../../engine/recurrent/kernel-recurrence.js';
import {
  inputWidths,
  isDelta,
  isGated,
  outputWidth,
  type Recurrence,
  type RecurrenceKernel,
  stateSize,
  tensorDims,
} from '../../../engine/recurrent/recurrence.js';
import { ReferenceRecurrence } from '../../../engine/recurrent/reference-recurrence.js';
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

/** All tokens of one sequence through a kernel, cut into runs of these lengths. */
function byKernel(
  kernel: RecurrenceKernel,
  layer: Recurrence,
  inputs: readonly Float32Array[],
  before: Float32Array,
  runs: readonly number[],
): { readonly output: Float32Array; readonly state: Float32Array } {
  const numTokens = runs.reduce((a, b) => a + b, 0);
  const state = kernel.begin(0, inputs, numTokens);
  state.set(new Uint8Array(before.buffer));
  let first = 0;
  for (const count of runs) {
    kernel.advance({ first, count });
    first += count;
  }
  const behind = new Float32Array(before.length);
  new Uint8Array(behind.buffer).set(state);
  const output = new Float32Array(outputWidth(layer) * numTokens);
  kernel.end(output);
  return { output, state: behind };
}

const stateOf = (layer: Recurrence): Float32Array =>
  randomInputs(layer, 1, 2, [stateSize(layer)])[0];

describe('the reference of layers with a state', () => {
  it("computes what ONNX Runtime's operators do", async () => {
    await fc.assert(
      fc.asyncProperty(anyRecurrence, fc.integer({ min: 1, max: 9 }), async (layer, numTokens) => {
        const inputs = randomInputs(layer, numTokens, 1);
        const state = stateOf(layer);
        const expected = await byOperator(layer, inputs, state, numTokens);
        const actual = byKernel(new ReferenceRecurrence([layer]), layer, inputs, state, [
          numTokens,
        ]);
        expect(difference(expected.output, actual.output)).toBeLessThan(2e-5);
        expect(difference(expected.state, actual.state)).toBeLessThan(2e-5);
      }),
      { numRuns: 60, seed: 20261201 },
    );
  });
});

describe('the kernel of layers with a state', () => {
  const runs = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });

  it('computes what the reference does, with the same bits wherever tokens are cut', () => {
    fc.assert(
      fc.property(anyRecurrence, runs, (layer, lengths) => {
        const numTokens = lengths.reduce((a, b) => a + b, 0);
        const inputs = randomInputs(layer, numTokens, 1);
        const state = stateOf(layer);
        const kernel = new KernelRecurrence([layer], 1);
        const expected = byKernel(new ReferenceRecurrence([layer]), layer, inputs, state, lengths);
        const actual = byKernel(kernel, layer, inputs, state, lengths);
        expect(difference(expected.output, actual.output)).toBeLessThan(2e-5);
        expect(difference(expected.state, actual.state)).toBeLessThan(2e-5);
        expect(byKernel(kernel, layer, inputs, state, [numTokens])).toEqual(actual);
      }),
      { numRuns: 150, seed: 20261201 },
    );
  });

  it.each<[string, Recurrence]>([
    ['heads', wideAttention()],
    ['channels', wideConvolution()],
  ])('has the same bits on two threads, which share %s', async (_name, layer) => {
    const numTokens = 700;
    const inputs = randomInputs(layer, numTokens, 1);
    const [alone, both] = [1, 2].map((threads) => new KernelRecurrence([layer], threads));
    try {
      const cut = [numTokens - 1, 1];
      const expected = byKernel(alone, layer, inputs, stateOf(layer), cut);
      expect(byKernel(both, layer, inputs, stateOf(layer), cut)).toEqual(expected);
      const reference = new ReferenceRecurrence([layer]);
      const plain = byKernel(reference, layer, inputs, stateOf(layer), [numTokens]);
      expect(difference(plain.output, expected.output)).toBeLessThan(2e-5);
    } finally {
      await both.dispose();
      await both.dispose();
    }
  });
});

function wideAttention(): Recurrence {
  return {
    kind: 'linear-attention',
    rule: 'gated_delta',
    numHeads: 6,
    numQueryHeads: 3,
    numKeyHeads: 3,
    keySize: 16,
    valueSize: 32,
    scale: 0.25,
    decaysByKey: false,
    sharesRate: false,
  };
}

function wideConvolution(): Recurrence {
  const weight = Float32Array.from({ length: 300 * 4 }, (_, i) => Math.sin(i));
  return { kind: 'convolution', channels: 300, taps: 4, weight, bias: null, activation: 'silu' };
}
