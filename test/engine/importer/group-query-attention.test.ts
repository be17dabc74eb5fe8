import { toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { OnnxBuilder } from '../../../bench/models/onnx-builder.js';
import { importModel } from '../../../engine/importer/import-model.js';
import type { AttentionSite } from '../../../engine/importer/imported-model.js';
import {
  type ModelProto,
  ModelProtoSchema,
  type TensorShapeProto,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { modelDir } from '../../support/model-dir.js';
import { type DecoderOptions, tinyDecoder } from '../../support/tiny-decoder.js';
import { failure } from './import-failure.js';

type Attributes = NonNullable<DecoderOptions['attributes']>;

/** Sets input `index` of every attention node to a weight of that shape. */
function withInput(b: OnnxBuilder, index: number, dims: readonly number[]): Uint8Array {
  for (const node of b.nodes.filter(({ opType }) => opType === 'GroupQueryAttention')) {
    while (node.input.length <= index) node.input.push('');
    node.input[index] = b.weight(`${node.name}/extra`, dims);
  }
  return b.bytes();
}

function resize(b: OnnxBuilder, weight: string, dims: readonly number[]): Uint8Array {
  const tensor = b.weights.find(({ name }) => name === weight);
  if (!tensor) throw new Error(`no weight ${weight}`);
  tensor.dims = dims.map(BigInt);
  tensor.rawData = tensor.rawData.slice(0, 4 * dims.reduce((x, y) => x * y, 1));
  return b.bytes();
}

function shapesOf(model: ModelProto, isMeant: (name: string) => boolean): TensorShapeProto[] {
  const infos = [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])];
  return infos
    .filter(({ name }) => /^(past|present)/.test(name) && isMeant(name))
    .flatMap(({ type }) =>
      type?.value.case === 'tensorType' ? (type.value.value.shape ?? []) : [],
    );
}

/** As the model builder writes caches since 0.15. */
function openLast(model: ModelProto): void {
  for (const { dim } of shapesOf(model, () => true)) {
    dim[3].value = { case: 'dimParam', value: 'kv_cache_dim' };
  }
}

function withoutShapes(model: ModelProto): void {
  for (const { type } of [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])]) {
    if (type?.value.case === 'tensorType' && type.value.value.shape?.dim.length === 4)
      delete type.value.value.shape;
  }
}

async function sites(bytes: Uint8Array): Promise<readonly AttentionSite[]> {
  return (await importModel({ modelDir: modelDir({ 'model.onnx': bytes }) })).sites;
}

describe('GroupQueryAttention', () => {
  // ONNX Runtime's defaults, and values that mean the same.
  it.each<[Attributes]>([
    [{ causal: 1 }],
    [{ smooth_softmax: -1 }],
    [{ smooth_softmax: 0 }],
    [{ qk_output: 0 }],
    [{ sliding_window_cache: 0 }],
    [{ k_quant_type: 'NONE', v_quant_type: 'NONE' }],
    [{ qk_norm_epsilon: { float: 1e-6 } }],
    [{ local_window_size: -1 }],
  ])('takes %o for what it is: no change', async (attributes) => {
    const [site] = await sites(tinyDecoder({ attributes }).bytes());
    expect(site).toMatchObject({ slidingWindow: 0, softcap: 0, sinks: null, rotary: null });
  });

  it.each<[string, Attributes]>([
    ['causal 0', { causal: 0 }],
    ['smooth_softmax 1', { smooth_softmax: 1 }],
    ['qk_output 2', { qk_output: 2 }],
    ['sliding_window_cache 1 without a local_window_size', { sliding_window_cache: 1 }],
    ['sliding_window_cache 2', { sliding_window_cache: 2, local_window_size: 8 }],
    ['kv_cache_bit_width 8', { kv_cache_bit_width: 8 }],
    ['k_quant_type PER_TENSOR', { k_quant_type: 'PER_TENSOR' }],
    // ONNX Runtime's own answer is a row of zeros: nothing is visible.
    ['local_window_size 0', { local_window_size: 0 }],
    ['local_window_size -5', { local_window_size: -5 }],
    ['do_rotary 2', { do_rotary: 2 }],
    ['mystery 0.5', { mystery: { float: 0.5 } }],
    ['mystery 0', { mystery: 0 }],
    ['mystery on', { mystery: 'on' }],
    [
      'rotary_embedding_dim 16 is not supported; ONNX Runtime does not know it either',
      { rotary_embedding_dim: 16 },
    ],
    ['num_heads 0', { num_heads: 0 }],
    ['kv_num_heads 3', { kv_num_heads: 3 }],
    ['kv_num_heads 4', { kv_num_heads: 4 }],
  ])('refuses %s by name, with the node', async (named, attributes) => {
    const b = tinyDecoder({ attributes });
    const { kind, message } = await failure(b.bytes());
    expect(kind).toBe('model_unsupported');
    expect(message).toContain('node l0/attention (GroupQueryAttention)');
    expect(message).toContain(named);
  });

  it.each([
    [10, 'attention_bias', [1, 1, 4, 4]],
    [12, 'k_scale', [1]],
    [13, 'v_scale', [1]],
    // One without the other.
    [14, 'k_norm_weight is absent', [32]],
    [15, 'q_norm_weight is absent', [32]],
    [14, 'q_norm_weight is .16.; expected a weight of .32.', [16]],
    [16, 'query_seqlens', [1]],
    [17, 'input 17', [1]],
  ])('refuses input %i, %s', async (index, name, dims) => {
    const { kind, message } = await failure(withInput(tinyDecoder(), index, dims));
    expect(kind).toBe('model_unsupported');
    expect(message).toMatch(new RegExp(`node l0/attention .*${name}`));
  });

  it('refuses rotation by positions of the graph, and takes them where nothing rotates', async () => {
    const rotated = await failure(withInput(tinyDecoder({ rotary: 'halves' }), 9, [1, 4]));
    expect(rotated.message).toContain('position_ids');
    expect(await sites(withInput(tinyDecoder(), 9, [1, 4]))).toHaveLength(2);
  });

  it('refuses tables and sinks that do not fit the heads', async () => {
    const rotary = (): OnnxBuilder => tinyDecoder({ rotary: 'halves' });
    const failures = [
      [resize(tinyDecoder({ sinks: true }), 'sinks0', [2]), /head_sink .*\[2\].*\[4\]/],
      [resize(rotary(), 'sin', [32, 16]), /cos_cache \[64, 16\] and sin_cache \[32, 16\]/],
      [resize(rotary(), 'cos', [64]), /cos_cache \[64\]/],
    ] as const;
    for (const [bytes, expected] of failures) {
      const { kind, message } = await failure(bytes);
      expect(kind).toBe('model_unsupported');
      expect(message).toMatch(expected);
    }
  });

  it('takes a window whose cache is as small as the window for the window that it is', async () => {
    const attributes = { sliding_window_cache: 1, local_window_size: 8 };
    const [site] = await sites(tinyDecoder({ attributes }).bytes());
    expect(site.slidingWindow).toBe(8);
  });

  it.each([false, true])('knows the head size by the weights, packed: %s', async (packed) => {
    for (const edit of [openLast, withoutShapes]) {
      const model = tinyDecoder({ packed }).build();
      edit(model);
      const found = await sites(toBinary(ModelProtoSchema, model));
      expect(found.map(({ headSize }) => headSize)).toEqual([32, 32]);
    }
  });

  it('refuses a cache that states another head size than the weights make', async () => {
    for (const name of ['past_key_values.1.value', 'present.0.key']) {
      const model = tinyDecoder().build();
      for (const { dim } of shapesOf(model, (other) => other === name)) {
        dim[3].value = { case: 'dimValue', value: 16n };
      }
      const { kind, message } = await failure(toBinary(ModelProtoSchema, model));
      expect(kind).toBe('model_unsupported');
      expect(message).toContain(`its weights make heads of 32, its cache ${name} has heads of 16`);
    }
  });

  it('believes no cache whose head size no weight makes', async () => {
    const b = tinyDecoder();
    const attention = b.nodes.find(({ name }) => name === 'l0/attention');
    const [query] = attention?.input.splice(0, 1, 'odd') ?? [];
    b.node('Compress', 'odd', [query ?? '', b.int64('all', [1])], { outputs: ['odd'] });
    const { kind, message } = await failure(b.bytes());
    expect(kind).toBe('model_unsupported');
    expect(message).toMatch(
      /no weight tells how wide its query odd is \(behind node odd, Compress\)/,
    );
  });

  it('refuses a width that its heads do not fill', async () => {
    const b = resize(tinyDecoder(), 'w0.q', [24, 126]);
    expect((await failure(b)).message).toContain('its query is 126 wide, which 4 heads');
  });

  it('refuses a cache that another layer makes, or that two layers share', async () => {
    const chained = tinyDecoder();
    const shared = tinyDecoder();
    // (A present may be read, but its node must have no tokens of its own beside it.)
    const joined = tinyDecoder();
    for (const [b, past, pastValue] of [
      [chained, 'present.0.key', null],
      [shared, 'past_key_values.0.key', null],
      [joined, 'present.0.key', 'present.0.value'],
    ] as const) {
      const node = b.nodes.find(({ name }) => name === 'l1/attention');
      if (node) node.input.splice(3, 2, past, pastValue ?? node.input[4]);
      const { kind, message } = await failure(b.bytes());
      expect(kind).toBe('model_unsupported');
      expect(message).toContain(`node l1/attention (GroupQueryAttention): its past_key ${past}`);
    }
  });
});
