import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCheckpoint } from '../../engine/checkpoint/safetensors-files.js';
import type { StoredTensor } from '../../engine/checkpoint/stored-tensor.js';
import {
  flag,
  float,
  floats,
  gguf,
  ints,
  number,
  text,
  texts,
  typeId,
  type Value,
  type WrittenTensor,
} from './gguf.js';

type Json = Readonly<Record<string, unknown>>;
type Matrix = Float32Array;

/** A tensor in memory. */
export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** What llama.cpp's converter does for an architecture, besides renaming. */
export interface Conversion {
  readonly architecture: string;
  /** Checkpoint's names to GGUF's, as patterns. */
  readonly names?: readonly (readonly [RegExp, string])[];
  /** Rows of queries and keys are sorted for a rotation of neighbors. */
  readonly sorts?: boolean;
  /** Weights of norms are stored as their distance from 1. */
  readonly fromOne?: boolean;
  /** Matrices are stored as `[inputs, outputs]`. */
  readonly turns?: boolean;
  /** Groups of the norm of Mamba layers. */
  readonly groups?: number;
  /** Values of heads are a column, one number in each row. */
  readonly columns?: boolean;
  /** What a tensor becomes before all else, by the name that the checkpoint gives it. */
  readonly rewrite?: (tensor: Tensor, config: Json) => readonly Tensor[];
  /** The tensor that a matrix is a part of, in order, by the name that the checkpoint gives it. */
  readonly gather?: (name: string) => string | null;
  /** Tensors that the checkpoint has not. */
  readonly more?: (config: Json) => readonly Tensor[];
  /** Tensors that stand for those of whole bytes, which are not written otherwise. */
  readonly packed?: (tensors: ReadonlyMap<string, StoredTensor>) => readonly WrittenTensor[];
  readonly metadata?: (config: Json) => Readonly<Record<string, Value>>;
}

const LLAMA: readonly (readonly [RegExp, string])[] = [
  [/^model\.embed_tokens\./, 'token_embd.'],
  [/^model\.norm\./, 'output_norm.'],
  [/^lm_head\./, 'output.'],
  [/^model\.layers\./, 'blk.'],
  [/input_layernorm/, 'attn_norm'],
  [/self_attn\.([qk])_norm/, 'attn_$1_norm'],
  [/self_attn\.([qkv])_proj/, 'attn_$1'],
  [/self_attn\.qkv_proj/, 'attn_qkv'],
  [/self_attn\.o_proj/, 'attn_output'],
  [/post_attention_layernorm/, 'ffn_norm'],
  [/mlp\.(gate|up|down)_proj/, 'ffn_$1'],
  [/mlp\.gate_up_proj/, 'ffn_up'],
  [/mlp\.c_fc/, 'ffn_up'],
  [/mlp\.c_proj/, 'ffn_down'],
];

/** A checkpoint of float32 as a GGUF file, made as llama.cpp's converter does it. */
export async function asGguf(
  dir: string,
  entry: string,
  config: Json,
  conversion: Conversion,
  /** Packs a matrix instead of F32. */
  pack?: (
    name: string,
    values: Float32Array,
  ) => { readonly type: string; readonly data: Uint8Array } | null,
): Promise<Buffer> {
  const { tensors } = await readCheckpoint(dir, entry);
  const { architecture, names = [], sorts, fromOne, turns, groups, metadata } = conversion;
  const { columns = true, rewrite = (tensor: Tensor) => [tensor] } = conversion;
  const written: WrittenTensor[] = [...(conversion.packed?.(tensors) ?? [])];
  const experts = new Map<string, { shape: number[]; parts: Matrix[] }>();
  const all = [...tensors.values()].filter(
    ({ name, type }) =>
      type !== 'U8' && (config['tie_word_embeddings'] !== true || name !== 'lm_head.weight'),
  );
  const rewritten = all.flatMap((tensor) =>
    rewrite({ name: tensor.name, shape: tensor.shape, values: floatsOf(tensor) }, config),
  );
  for (const tensor of [...rewritten, ...(conversion.more?.(config) ?? [])]) {
    let { values } = tensor;
    let shape = [...tensor.shape];
    const name = [...names, ...LLAMA].reduce((at, [from, to]) => at.replace(from, to), tensor.name);
    const heads = /attn_q\./.test(name) ? 'num_attention_heads' : 'num_key_value_heads';
    if (sorts && /attn_[qk]\.(weight|bias)$/.test(name)) {
      values = sorted(values, shape, (config[heads] ?? config['num_attention_heads']) as number);
    }
    if (fromOne && name.endsWith('norm.weight') && !name.endsWith('ssm_norm.weight'))
      values = values.map((x) => x + 1);
    if (turns && shape.length === 2 && !/_embd/.test(name)) {
      values = turned(values, shape[0], shape[1]);
      shape = shape.toReversed();
    }
    if (shape.length === 3 && shape[1] === 1) shape = [shape[0], shape[2]];
    if (columns && /ssm_[ad]$/.test(name)) shape = [shape[0], 1];
    if (name.endsWith('ssm_a')) values = values.map((x) => -Math.exp(x));
    if (groups !== undefined && name.endsWith('ssm_norm.weight')) {
      shape = [groups, shape[0] / groups];
    }
    const [, before, kind] = /^(blk\.\d+)\.ffn_exps\.\d+\.(gate|up|down)\./.exec(name) ?? [];
    const ofExperts = kind === undefined ? null : `${before}.ffn_${kind}_exps.weight`;
    const key = ofExperts ?? conversion.gather?.(tensor.name) ?? null;
    if (key === null) {
      const packed = shape.length === 2 ? pack?.(name, values) : null;
      written.push(
        packed
          ? { name, shape, type: typeId(packed.type), data: packed.data }
          : { name, shape, data: bytesOf(values) },
      );
      continue;
    }
    const known = experts.get(key) ?? { shape, parts: [] };
    known.parts.push(values);
    experts.set(key, known);
  }
  for (const [name, { shape, parts }] of experts) {
    const data = Buffer.concat(parts.map(bytesOf));
    written.push({ name, shape: [parts.length, ...shape], data });
  }
  const factors = rotationFactors(config);
  if (factors)
    written.push({ name: 'rope_freqs.weight', shape: [factors.length], data: bytesOf(factors) });
  const own = { ...usual(config), ...metadata?.(config) };
  const entries = Object.entries(own).map(
    ([key, value]) => [`${architecture}.${key}`, value] as const,
  );
  const vocabulary = vocabularyOf(config['vocab_size'] as number);
  return gguf({
    metadata: [['general.architecture', text(architecture)], ...entries, ...vocabulary],
    tensors: written,
  });
}

function usual(config: Json): Record<string, Value> {
  const found: Record<string, Value> = {};
  const put = (key: string, ...names: string[]): void => {
    const value = names.map((name) => config[name]).find((v) => v !== undefined && v !== null);
    if (typeof value === 'number') {
      found[key] = /epsilon|base/.test(key) ? float(value) : number(value);
    }
  };
  put('embedding_length', 'hidden_size', 'n_embd');
  put('block_count', 'num_hidden_layers', 'n_layer');
  put('feed_forward_length', 'intermediate_size', 'n_inner');
  put('attention.head_count', 'num_attention_heads', 'n_head');
  put('attention.head_count_kv', 'num_key_value_heads');
  put('attention.key_length', 'head_dim');
  put('context_length', 'max_position_embeddings', 'n_positions');
  put('attention.layer_norm_rms_epsilon', 'rms_norm_eps');
  put(
    'attention.layer_norm_epsilon',
    'layer_norm_eps',
    'norm_epsilon',
    'norm_eps',
    'layer_norm_epsilon',
  );
  const rope = (config['rope_parameters'] ?? config['rope_scaling'] ?? {}) as Json;
  const theta = rope['rope_theta'] ?? config['rope_theta'];
  if (typeof theta === 'number') found['rope.freq_base'] = float(theta);
  const hidden = Number(config['hidden_size'] ?? config['n_embd']);
  const size = Number(
    config['head_dim'] ?? hidden / Number(config['num_attention_heads'] ?? config['n_head']),
  );
  const part = Number(
    rope['partial_rotary_factor'] ?? config['partial_rotary_factor'] ?? config['rotary_pct'] ?? 1,
  );
  found['rope.dimension_count'] = number(Math.trunc(size * part));
  const kind = rope['rope_type'];
  if (kind === 'linear' || kind === 'yarn') {
    found['rope.scaling.type'] = text(kind);
    found['rope.scaling.factor'] = float(rope['factor'] as number);
  }
  if (kind === 'yarn') {
    found['rope.scaling.original_context_length'] = number(
      rope['original_max_position_embeddings'] as number,
    );
    found['rope.scaling.yarn_beta_fast'] = float(rope['beta_fast'] as number);
    found['rope.scaling.yarn_beta_slow'] = float(rope['beta_slow'] as number);
  }
  return found;
}

/** Llama 3.1's scaling as the converter writes it: a divisor for each pair. */
function rotationFactors(config: Json): Float32Array | null {
  const rope = (config['rope_parameters'] ?? {}) as Readonly<Record<string, number | string>>;
  if (rope['rope_type'] !== 'llama3') return null;
  const size = Number(
    config['head_dim'] ?? Number(config['hidden_size']) / Number(config['num_attention_heads']),
  );
  const [factor, low, high, length] = [
    'factor',
    'low_freq_factor',
    'high_freq_factor',
    'original_max_position_embeddings',
  ].map((key) => Number(rope[key]));
  return Float32Array.from({ length: size / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * Number(rope['rope_theta']) ** ((2 * i) / size);
    if (wavelength < length / high) return 1;
    if (wavelength > length / low) return factor;
    const smooth = (length / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function vocabularyOf(size: number): (readonly [string, Value])[] {
  const tokens = Array.from({ length: size }, (_, i) => `t${i}`);
  return [
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('gpt-2')],
    ['tokenizer.ggml.tokens', texts(tokens)],
    ['tokenizer.ggml.token_type', ints(tokens.map(() => 1))],
    ['tokenizer.ggml.scores', floats(tokens.map(() => 0))],
    ['tokenizer.ggml.merges', texts([])],
    ['tokenizer.ggml.eos_token_id', number(2)],
    ['tokenizer.ggml.add_bos_token', flag(false)],
  ];
}

/** Halves of each head's rows become neighbors. */
function sorted(values: Matrix, [rows, columns = 1]: readonly number[], heads: number): Matrix {
  const size = rows / heads;
  const made = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const at = row % size;
    const from = row - at + (at % 2) * (size / 2) + Math.floor(at / 2);
    made.set(values.subarray(from * columns, (from + 1) * columns), row * columns);
  }
  return made;
}

function turned(values: Matrix, rows: number, columns: number): Matrix {
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

function floatsOf({ file, offset, bytes, type }: StoredTensor): Matrix {
  const raw = Uint8Array.from(readFileSync(join(file)).subarray(offset, offset + bytes));
  if (type === 'F32') return new Float32Array(raw.buffer);
  if (type !== 'BF16') throw new Error(`a fixture of ${type}`);
  const words = Uint32Array.from(new Uint16Array(raw.buffer), (half) => half << 16);
  return new Float32Array(words.buffer);
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
