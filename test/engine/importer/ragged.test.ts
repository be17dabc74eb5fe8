import { create, toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { OnnxBuilder } from '../../../bench/models/onnx-builder.js';
import { importModel } from '../../../engine/importer/import-model.js';
import type { ImportedModel } from '../../../engine/importer/imported-model.js';
import { makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as Type,
  type TypeProto_Tensor,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { modelDir } from '../../support/model-dir.js';
import { TINY, tinyDecoder } from '../../support/tiny-decoder.js';
import { failure } from './import-failure.js';

const encode = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model);

function imported(bytes: Uint8Array): Promise<ImportedModel> {
  return importModel({ modelDir: modelDir({ 'model.onnx': bytes }) });
}

/** Every segment as a session: ONNX Runtime checks the element types that the importer wrote. */
async function expectOpens(bytes: Uint8Array): Promise<ImportedModel> {
  const model = await imported(bytes);
  for (const { model: segment } of model.segments) {
    const session = await InferenceSession.create(segment);
    await session.release();
  }
  return model;
}

/**
 * The test decoder with a change to the declared type of its input `input_ids` or `position_ids`.
 */
function withInputType(name: string, change: (type: TypeProto_Tensor) => void): Uint8Array {
  const model = tinyDecoder().build();
  const info = model.graph?.input.find((input) => input.name === name);
  if (info?.type?.value.case !== 'tensorType') throw new Error(`no input ${name}`);
  change(info.type.value.value);
  return encode(model);
}

function nodeOf(b: OnnxBuilder, name: string): OnnxBuilder['nodes'][number] {
  const node = b.nodes.find((n) => n.name === name);
  if (!node) throw new Error(`no node ${name}`);
  return node;
}

/** Puts nodes between the embedding and all that reads it. */
function afterEmbedding(b: OnnxBuilder, insert: (from: string, to: string) => void): Uint8Array {
  const embed = nodeOf(b, 'embed');
  const [to] = embed.output;
  embed.output[0] = 'embed/raw';
  insert('embed/raw', to);
  return b.bytes();
}

/** The float16 form of a float32 decoder. */
function halved(): Uint8Array {
  const model = tinyDecoder().build();
  for (const tensor of model.graph?.initializer ?? []) {
    if (tensor.dataType !== (Type.FLOAT as number)) continue;
    tensor.dataType = Type.FLOAT16;
    tensor.rawData = tensor.rawData.slice(0, tensor.rawData.length / 2);
  }
  return encode(model);
}

describe('a graph that cannot run as one row of tokens', () => {
  it('is refused: a fixed sequence length or batch, another rank', async () => {
    const fixed = (axis: number, size: bigint) => (type: TypeProto_Tensor) => {
      const dim = type.shape?.dim[axis];
      if (dim) dim.value = { case: 'dimValue', value: size };
    };
    for (const name of ['input_ids', 'position_ids']) {
      const { kind, message } = await failure(withInputType(name, fixed(1, 1n)));
      expect(kind).toBe('model_unsupported');
      expect(message).toContain(`the input ${name} has the shape [?, 1], one token at a time`);
    }
    const batch = await failure(withInputType('input_ids', fixed(0, 4n)));
    expect(batch.message).toContain('the input input_ids has the shape [4, ?]');
    const rank = await failure(
      withInputType('position_ids', (type) =>
        type.shape?.dim.unshift(...type.shape.dim.slice(0, 1)),
      ),
    );
    expect(rank.message).toContain('the input position_ids has the shape [?, ?, ?]');
  });

  it('may have a batch of 1, or no shape', async () => {
    const one = withInputType('input_ids', (type) => {
      const dim = type.shape?.dim[0];
      if (dim) dim.value = { case: 'dimValue', value: 1n };
    });
    const open = withInputType('input_ids', (type) => delete type.shape);
    for (const bytes of [one, open]) expect((await expectOpens(bytes)).sites).toHaveLength(2);
  });

  it('is refused when it wants other numbers than a step has', async () => {
    const ids = await failure(withInputType('input_ids', (type) => (type.elemType = Type.INT16)));
    expect(ids.kind).toBe('model_unsupported');
    expect(ids.message).toContain('the input input_ids is INT16; expected INT64 or INT32');
    const b = tinyDecoder();
    nodeOf(b, 'head').output[0] = 'logits/float';
    b.node('Cast', 'double', ['logits/float'], { attributes: { to: 11 }, outputs: ['logits'] });
    for (const output of b.outputs.filter(({ name }) => name === 'logits')) delete output.type;
    expect((await failure(b.bytes())).message).toContain('the output logits is DOUBLE');
  });

  it('is widened when its numbers are float16', async () => {
    const { report, segments } = await expectOpens(halved());
    expect(report.rewrites).toContain('widened float16 to float32');
    // The embedding is looked up in float16.
    const [{ outputs }] = segments;
    expect(outputs).toContain('embed/out');
  });

  it('is refused when something reads the cache outside of attention', async () => {
    for (const cache of ['present.0.key', 'past_key_values.0.key']) {
      const b = tinyDecoder();
      const sum = b.node('ReduceSum', 'cache/sum', [cache], { attributes: { keepdims: 0 } });
      const q = nodeOf(b, 'l1/q');
      q.input[0] = b.node('Mul', 'odd', [q.input[0], sum]);
      const { kind, message } = await failure(b.bytes());
      expect(kind).toBe('model_unsupported');
      expect(message).toContain(`node cache/sum (ReduceSum) needs ${cache}`);
    }
  });

  it('is refused when it branches: the tokens of a step would branch together', async () => {
    const b = tinyDecoder();
    const q = nodeOf(b, 'l1/q');
    b.weights.push(
      create(TensorProtoSchema, { name: 'yes', dataType: Type.BOOL, rawData: Uint8Array.of(1) }),
    );
    const inner = create(NodeProtoSchema, { opType: 'Neg', input: [q.input[0]], output: ['o'] });
    const branch = create(GraphProtoSchema, { name: 'branch', node: [inner] });
    q.input[0] = b.node('If', 'choice', ['yes']);
    for (const name of ['then_branch', 'else_branch']) {
      const type = AttributeProto_AttributeType.GRAPH;
      nodeOf(b, 'choice').attribute.push(create(AttributeProtoSchema, { name, type, g: branch }));
    }
    const { kind, message } = await failure(b.bytes());
    expect(kind).toBe('model_unsupported');
    expect(message).toContain('node choice (If)');
  });

  it('is refused when its LM head is not a matmul of [1, T, hidden]', async () => {
    const b = tinyDecoder();
    const head = nodeOf(b, 'head');
    head.opType = 'Gemm';
    head.input[0] = b.node('Reshape', 'flat', [head.input[0], b.int64('flat/shape', [-1, 24])]);
    const { kind, message } = await failure(b.bytes());
    expect(kind).toBe('model_unsupported');
    expect(message).toContain('node head (Gemm)');
  });
});

describe('a declared width of the logits', () => {
  it.each<[string, number | string]>([
    ['another than the weight has', 99],
    ['open', 'words'],
  ])('is not what counts: %s', async (_, declared) => {
    const b = tinyDecoder();
    const at = b.outputs.findIndex(({ name }) => name === 'logits');
    b.outputs.splice(at, 1);
    b.output('logits', Type.FLOAT, ['batch', 'sequence', declared]);
    expect((await expectOpens(b.bytes())).vocabSize).toBe(TINY.vocab);
  });

  it('is found behind a table that is turned for the head', async () => {
    const b = tinyDecoder();
    const at = b.outputs.findIndex(({ name }) => name === 'logits');
    b.outputs.splice(at, 1);
    b.output('logits', Type.FLOAT, ['batch', 'sequence', 'words']);
    nodeOf(b, 'head').input[1] = b.node('Transpose', 'turned', ['embedding']);
    const model = await expectOpens(b.bytes());
    expect([model.vocabSize, model.hiddenSize]).toEqual([TINY.vocab, TINY.hidden]);
  });
});

describe('the element types of carried tensors', () => {
  it('come out of dequantization as floats', async () => {
    const b = tinyDecoder();
    const table = b.weights.find(({ name }) => name === 'embedding');
    if (!table) throw new Error('no embedding');
    table.dataType = Type.INT8;
    table.rawData = table.rawData.slice(0, TINY.vocab * TINY.hidden);
    const scale = b.weight('embedding/scale', [], Float32Array.of(0.01));
    await expectOpens(
      afterEmbedding(b, (from, to) => {
        b.node('DequantizeLinear', 'dequantized', [from, scale], { outputs: [to] });
      }),
    );
  });

  it('are those of constants that stand first', async () => {
    const b = tinyDecoder();
    const factor = b.node('Constant', 'factor', [], {
      attributes: { value_float: { float: 4.9 } },
    });
    await expectOpens(
      afterEmbedding(b, (from, to) => {
        b.node('Mul', 'scaled', [factor, from], { outputs: [to] });
      }),
    );
  });

  it('are not those of indices', async () => {
    const b = tinyDecoder();
    const bytes = afterEmbedding(b, (from, to) => {
      b.node('OneHot', 'mask', ['input_ids', b.int64('three', [3]), b.weight('off/on', [2])]);
      const sum = b.node('ReduceSum', 'sum', ['mask/out'], { attributes: { keepdims: 0 } });
      b.node('Add', 'shifted', [sum, from], { outputs: [to] });
    });
    await expectOpens(bytes);
  });

  it('are those that the model states', async () => {
    const b = tinyDecoder();
    // An operator that is not known to keep another type than its first input's.
    const bytes = (stated: boolean): Uint8Array => {
      const model = b.build();
      if (stated) model.graph?.valueInfo.push(makeValueInfo('embed/out', Type.FLOAT));
      return encode(model);
    };
    afterEmbedding(b, (from, to) => {
      b.weights.push(
        create(TensorProtoSchema, {
          name: 'scale/table',
          dims: [8n],
          dataType: Type.UINT8,
          rawData: new Uint8Array(8),
        }),
      );
      b.node('BitShift', 'shift', ['scale/table', 'scale/table'], {});
      const size = b.node('ReduceMax', 'size', ['shift/out'], { attributes: { keepdims: 0 } });
      const noise = b.contrib('DynamicScale', 'noise', [size, from], {});
      b.node('Add', 'shifted', [noise, from], { outputs: [to] });
    });
    expect((await failure(bytes(false))).message).toMatch(/UINT8/);
    expect((await imported(bytes(true))).sites).toHaveLength(2);
  });
});

describe('constants', () => {
  it('are made again in every segment that uses them, and never carried', async () => {
    const b = tinyDecoder();
    const two = b.node('Constant', 'two', [], { attributes: { value_float: { float: 2 } } });
    const table = b.weight('table', [24, 24]);
    const turned = b.node('Transpose', 'turned', [b.node('Mul', 'doubled', [table, two])]);
    for (const layer of [0, 1]) {
      const q = nodeOf(b, `l${layer}/q`);
      q.input[0] = b.node('MatMul', `l${layer}/mixed`, [q.input[0], turned]);
    }
    const later = nodeOf(b, 'l1/q');
    const ten = b.node('Constant', 'ten', [], { attributes: { value_float: { float: 10 } } });
    later.input[0] = b.node('Mul', 'l1/tenfold', [later.input[0], ten]);
    const { segments, report } = await expectOpens(b.bytes());
    // embed, two, doubled, turned, mixed, q, k, v; ten is not among them.
    expect(report.segments[0].nodes).toBe(8);
    const carried = segments.map(({ inputs }) =>
      inputs.filter((name) => !name.startsWith('octavo.')),
    );
    expect(carried.map((names) => names.sort())).toEqual([
      ['input_ids'],
      ['embed/out', 'l0/attended'],
      ['l0/residual/out', 'l1/attended'],
    ]);
    expect(segments.flatMap(({ outputs }) => outputs)).not.toContain(turned);
  });
});

describe('a step', () => {
  it('holds no more tokens than the rotary tables have rows', async () => {
    expect((await imported(tinyDecoder().bytes())).maxStepTokens).toBeNull();
    const b = tinyDecoder();
    b.weight('cos', [48, 16]);
    b.weight('sin', [48, 16]);
    for (const layer of [0, 1]) {
      const node = nodeOf(b, `l${layer}/attention`);
      const inputs = [node.input[0], 'position_ids', 'cos', 'sin'];
      node.input[0] = b.contrib('RotaryEmbedding', `l${layer}/rotary`, inputs, {});
    }
    const model = await expectOpens(b.bytes());
    expect(model.maxStepTokens).toBe(48);

    // The limit is ONNX Runtime's, and exact.
    const session = await InferenceSession.create(model.segments[0].model);
    const step = (length: number): Promise<unknown> => {
      const row = new Tensor('int64', new BigInt64Array(length), [1, length]);
      return session.run({ input_ids: row, position_ids: row });
    };
    await step(48);
    await expect(step(49)).rejects.toThrow('cos_cache and sin_cache');
    await session.release();
  });
});
