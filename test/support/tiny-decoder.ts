import { OnnxBuilder } from '../../bench/models/onnx-builder.js';
import { TensorProto_DataType as Type } from '../../engine/importer/onnx/onnx_pb.js';

export interface TinyDecoder {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly hidden: number;
  readonly vocab: number;
}

export const TINY: TinyDecoder = {
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headSize: 32,
  hidden: 24,
  vocab: 40,
};

export interface DecoderOptions {
  readonly shape?: TinyDecoder;
  /** One packed product for query, key and value. */
  readonly packed?: boolean;
  /** Rotation inside the attention node. */
  readonly rotary?: 'interleaved' | 'halves';
  /** More attributes of the attention node. */
  readonly attributes?: Readonly<Record<string, number | { readonly float: number } | string>>;
  /** A head_sink weight. */
  readonly sinks?: boolean;
  /** What the first layer's attention gives is added to that of each later layer. */
  readonly readsAgain?: boolean;
}

/**
 * A decoder of two layers in the form of ONNX Runtime GenAI's model builder, with random weights.
 */
export function tinyDecoder(options: DecoderOptions = {}): OnnxBuilder {
  const shape = options.shape ?? TINY;
  const b = new OnnxBuilder(7);
  b.input('input_ids', Type.INT64, ['batch', 'sequence']);
  b.input('attention_mask', Type.INT64, ['batch', 'total']);
  b.input('position_ids', Type.INT64, ['batch', 'sequence']);
  const last = b.node('Sub', 'mask/last', [
    b.node('ReduceSum', 'mask/sum', ['attention_mask', b.int64('one', [1])], {
      attributes: { keepdims: 1 },
    }),
    'one',
  ]);
  const seqlens = b.node('Cast', 'mask/seqlens', [last], { attributes: { to: Type.INT32 } });
  const length = b.node('Gather', 'mask/length', [
    b.node('Shape', 'mask/shape', ['attention_mask']),
    b.int64('index', [1], []),
  ]);
  const total = b.node('Cast', 'mask/total', [length], { attributes: { to: Type.INT32 } });
  if (options.rotary) rotaryTables(b, shape.headSize);
  let x = b.node('Gather', 'embed', [
    b.weight('embedding', [shape.vocab, shape.hidden]),
    'input_ids',
  ]);
  for (let layer = 0; layer < shape.layers; layer++) {
    x = decoderLayer(b, shape, options, layer, x, seqlens, total);
  }
  const head = b.weight('lm_head', [shape.hidden, shape.vocab]);
  b.node('MatMul', 'head', [x, head], { outputs: ['logits'] });
  b.output('logits', Type.FLOAT, ['batch', 'sequence', shape.vocab]);
  return b;
}

function decoderLayer(
  b: OnnxBuilder,
  shape: TinyDecoder,
  options: DecoderOptions,
  layer: number,
  x: string,
  seqlens: string,
  total: string,
): string {
  const { heads, kvHeads, headSize, hidden } = shape;
  const project = (name: string, width: number): string =>
    b.node('MatMul', `l${layer}/${name}`, [x, b.weight(`w${layer}.${name}`, [hidden, width])]);
  const qkv = options.packed
    ? [project('qkv', (heads + 2 * kvHeads) * headSize), '', '']
    : [
        project('q', heads * headSize),
        project('k', kvHeads * headSize),
        project('v', kvHeads * headSize),
      ];
  const past = ['key', 'value'].map((kind) =>
    b.input(`past_key_values.${layer}.${kind}`, Type.FLOAT, ['batch', kvHeads, 'past', headSize]),
  );
  const present = ['key', 'value'].map((kind) => `present.${layer}.${kind}`);
  for (const name of present) b.output(name, Type.FLOAT, ['batch', kvHeads, 'total', headSize]);
  const tables = options.rotary ? ['cos', 'sin'] : ['', ''];
  const sinks = options.sinks ? ['', '', b.weight(`sinks${layer}`, [heads], undefined, 2)] : [];
  const attributes = {
    num_heads: heads,
    kv_num_heads: kvHeads,
    do_rotary: options.rotary ? 1 : 0,
    rotary_interleaved: options.rotary === 'interleaved' ? 1 : 0,
    ...options.attributes,
  };
  const attended = b.contrib(
    'GroupQueryAttention',
    `l${layer}/attention`,
    [...qkv, ...past, seqlens, total, ...tables, ...sinks],
    attributes,
    [`l${layer}/attended`, ...present],
  );
  const output = b.weight(`w${layer}.o`, [heads * headSize, hidden]);
  const projected =
    options.readsAgain && layer > 0
      ? b.node('Add', `l${layer}/again`, [attended, 'l0/attended'])
      : attended;
  return b.node('Add', `l${layer}/residual`, [
    x,
    b.node('MatMul', `l${layer}/o`, [projected, output]),
  ]);
}

function rotaryTables(b: OnnxBuilder, headSize: number): void {
  const half = headSize / 2;
  const angles = Float32Array.from({ length: 64 * half }, (_, i) => {
    const position = Math.floor(i / half);
    return position / 10_000 ** ((i % half) / half);
  });
  b.weight('cos', [64, half], angles.map(Math.cos));
  b.weight('sin', [64, half], angles.map(Math.sin));
}
