import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TensorProto_DataType as Type } from '../../engine/importer/onnx/onnx_pb.js';
import { ExternalWeights } from './external-weights.js';
import { type Matmul, matmulsOf, type Precision } from './linear.js';
import { OnnxBuilder } from './onnx-builder.js';
import { configOf, type DecoderShape, SHAPES, type ShapeName } from './shapes.js';
import { ensureTokenizer } from './tokenizer.js';

/** Suffixes under which transformers.js looks for each precision. */
const SUFFIXES: Readonly<Record<Precision, string>> = { fp32: '', q8: '_quantized', q4: '_q4' };

export interface ModelVariant {
  readonly precision: Precision;
  /**
   * With the input `num_logits_to_keep`, by which transformers.js asks for the last token's logits
   * only. The files are then named `last_logits`, otherwise `model`.
   */
  readonly keepsLogits: boolean;
}

const PLAIN: ModelVariant = { precision: 'fp32', keepsLogits: false };

/**
 * A model of a published shape with random weights, in the layout of a Hugging Face ONNX export
 * (GroupQueryAttention, external data). Made on first use, kept in bench/models/generated.
 *
 * @returns its directory
 */
export function ensureModel(name: ShapeName, variant: ModelVariant = PLAIN): string {
  const directory = fileURLToPath(new URL(`./generated/${name}`, import.meta.url));
  const shape: DecoderShape = SHAPES[name];
  mkdirSync(`${directory}/onnx`, { recursive: true });
  ensureTokenizer(directory, shape.vocab);
  const file = `${variant.keepsLogits ? 'last_logits' : 'model'}${SUFFIXES[variant.precision]}`;
  const path = `${directory}/onnx/${file}.onnx`;
  if (!existsSync(path)) {
    const weights = new ExternalWeights(`${path}_data`, `${file}.onnx_data`);
    const bytes = buildDecoder(shape, weights, variant).bytes();
    weights.close();
    writeWhole(path, bytes);
  }
  writeWhole(
    `${directory}/config.json`,
    `${JSON.stringify({ architectures: ['LlamaForCausalLM'], model_type: 'llama', ...configOf(shape) }, null, 2)}\n`,
  );
  return directory;
}

/** In one piece, so that its presence says that it is complete. */
function writeWhole(path: string, content: string | Uint8Array): void {
  writeFileSync(`${path}.tmp`, content);
  renameSync(`${path}.tmp`, path);
}

function buildDecoder(
  shape: DecoderShape,
  weights: ExternalWeights,
  { precision, keepsLogits }: ModelVariant,
): OnnxBuilder {
  const b = new OnnxBuilder();
  const matmul = matmulsOf(b, weights, precision);
  b.input('input_ids', Type.INT64, ['batch_size', 'sequence_length']);
  b.input('attention_mask', Type.INT64, ['batch_size', 'total_sequence_length']);
  b.input('position_ids', Type.INT64, ['batch_size', 'sequence_length']);
  rotaryTables(b, shape, weights);
  const lengths = maskLengths(b);
  const add = (name: string, dims: readonly number[], deviation: number): string => {
    b.weights.push(weights.random(name, dims, deviation));
    return name;
  };
  const x = b.node('Gather', '/model/embed_tokens', [
    add('embed_tokens.weight', [shape.vocab, shape.hidden], 0.02),
    'input_ids',
  ]);
  let residual = x;
  let delta: string | null = null;
  for (let layer = 0; layer < shape.layers; layer++) {
    const path = `/model/layers.${layer}`;
    const first = norm(b, weights, `${path}/input_layernorm`, residual, delta, shape.hidden);
    const attended = attention(b, shape, layer, first.normed, lengths, matmul, add);
    const second = norm(
      b,
      weights,
      `${path}/post_attention_layernorm`,
      first.sum,
      attended,
      shape.hidden,
    );
    residual = second.sum;
    delta = mlp(b, shape, path, second.normed, matmul);
  }
  const { normed } = norm(b, weights, '/model/norm', residual, delta, shape.hidden);
  const kept = keepsLogits ? lastRows(b, normed) : normed;
  const logits = matmul('/lm_head', kept, shape.hidden, shape.vocab, 0.02);
  b.node('Identity', '/logits', [logits], { outputs: ['logits'] });
  b.output('logits', Type.FLOAT, ['batch_size', 'sequence_length', shape.vocab]);
  return b;
}

/** The last rows of `[1, T, hidden]`, as many as asked for; 0 asks for all. */
function lastRows(b: OnnxBuilder, x: string): string {
  const count = b.input('num_logits_to_keep', Type.INT64, []);
  const axis = b.int64('/kept/axis', [1]);
  const start = b.node('Neg', '/kept/neg', [count]);
  const starts = b.node('Unsqueeze', '/kept/starts', [start, b.int64('/kept/zero', [0])]);
  const end = b.int64('/kept/end', [2 ** 31 - 1]);
  return b.node('Slice', '/kept', [x, starts, end, axis]);
}

type AddWeight = (name: string, dims: readonly number[], deviation: number) => string;

function rotaryTables(b: OnnxBuilder, shape: DecoderShape, weights: ExternalWeights): void {
  const half = shape.headSize / 2;
  // Enough for the loads of the benchmarks; the real tables of 131,072 positions would be 32 MB.
  const positions = Math.min(shape.context, 16_384);
  const angles = Float64Array.from({ length: positions * half }, (_, i) => {
    return Math.floor(i / half) / shape.ropeTheta ** ((i % half) / half);
  });
  for (const [name, f] of [
    ['cos_cache', Math.cos],
    ['sin_cache', Math.sin],
  ] as const) {
    b.weights.push(weights.values(name, [positions, half], Float32Array.from(angles, f)));
  }
}

function maskLengths(b: OnnxBuilder): [string, string] {
  const sum = b.node('ReduceSum', '/mask/sum', ['attention_mask', b.int64('mask_axis', [1])]);
  const last = b.node('Sub', '/mask/last', [sum, 'mask_axis']);
  const total = b.node('Gather', '/mask/total', [
    b.node('Shape', '/mask/shape', ['attention_mask']),
    b.int64('mask_index', [1], []),
  ]);
  const cast = { attributes: { to: Type.INT32 } };
  return [
    b.node('Cast', '/mask/seqlens', [last], cast),
    b.node('Cast', '/mask/length', [total], cast),
  ];
}

function norm(
  b: OnnxBuilder,
  weights: ExternalWeights,
  path: string,
  x: string,
  skip: string | null,
  size: number,
): { normed: string; sum: string } {
  const scale = `${path}.weight`;
  b.weights.push(weights.values(scale, [size], new Float32Array(size).fill(1)));
  const attributes = { epsilon: { float: 1e-6 } };
  if (skip === null) {
    const normed = b.node('SimplifiedLayerNormalization', path, [x, scale], { attributes });
    return { normed, sum: x };
  }
  const outputs = [`${path}/out`, '', '', `${path}/sum`];
  b.contrib('SkipSimplifiedLayerNormalization', path, [x, skip, scale], attributes, outputs);
  return { normed: outputs[0], sum: outputs[3] };
}

function attention(
  b: OnnxBuilder,
  shape: DecoderShape,
  layer: number,
  x: string,
  lengths: readonly string[],
  matmul: Matmul,
  add: AddWeight,
): string {
  const { heads, kvHeads, headSize, hidden } = shape;
  const path = `/model/layers.${layer}/attn`;
  const deviation = 1 / Math.sqrt(hidden);
  const project = (name: string, width: number): string => {
    const projected = matmul(`${path}/${name}`, x, hidden, width, deviation);
    if (!shape.qkvBias) return projected;
    return b.node('Add', `${path}/${name}/Add`, [
      projected,
      add(`${path}/${name}.bias`, [width], 0.1),
    ]);
  };
  const rotate = (name: string, y: string): string =>
    b.contrib('RotaryEmbedding', `${path}/${name}`, [y, 'position_ids', 'cos_cache', 'sin_cache'], {
      interleaved: 0,
    });
  const query = rotate('q_rotary', project('q_proj', heads * headSize));
  const key = rotate('k_rotary', project('k_proj', kvHeads * headSize));
  const value = project('v_proj', kvHeads * headSize);
  const kinds = ['key', 'value'];
  const past = kinds.map((kind) =>
    b.input(`past_key_values.${layer}.${kind}`, Type.FLOAT, [
      'batch_size',
      kvHeads,
      'past',
      headSize,
    ]),
  );
  const present = kinds.map((kind) => `present.${layer}.${kind}`);
  for (const name of present)
    b.output(name, Type.FLOAT, ['batch_size', kvHeads, 'total', headSize]);
  const attended = b.contrib(
    'GroupQueryAttention',
    `${path}/GroupQueryAttention`,
    [query, key, value, ...past, ...lengths],
    { num_heads: heads, kv_num_heads: kvHeads },
    [`${path}/attended`, ...present],
  );
  return matmul(`${path}/o_proj`, attended, heads * headSize, hidden, deviation);
}

function mlp(
  b: OnnxBuilder,
  shape: DecoderShape,
  layer: string,
  x: string,
  matmul: Matmul,
): string {
  const path = `${layer}/mlp`;
  const project = (name: string, input: string, from: number, to: number): string =>
    matmul(`${path}/${name}`, input, from, to, 1 / Math.sqrt(from));
  const gate = project('gate_proj', x, shape.hidden, shape.mlp);
  const up = project('up_proj', x, shape.hidden, shape.mlp);
  const silu = b.node('Mul', `${path}/silu`, [gate, b.node('Sigmoid', `${path}/sigmoid`, [gate])]);
  return project('down_proj', b.node('Mul', `${path}/gated`, [silu, up]), shape.mlp, shape.hidden);
}
