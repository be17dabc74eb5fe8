import type { StoredTensor } from '../checkpoint/stored-tensor.js';

/** A name with a number in it. */
type Numbered = readonly [before: string, behind: string];

/** Names of a family's weights, by the names that GGUF has for their parts. */
export interface TensorNames {
  /** Of tensors outside of layers. */
  readonly outer: Readonly<Record<string, string>>;
  /** What stands before the number of a layer. */
  readonly layers: string;
  /** Of tensors of a layer; of whole names first, with `.weight` or `.bias`. */
  readonly inner: Readonly<Record<string, string>>;
  /** Of experts, which are in one tensor: what stands before and behind the number of one. */
  readonly experts?: Readonly<Record<string, Numbered>>;
  /** Of tensors of experts that have two matrices of each, one above the other: their parts. */
  readonly halves?: Readonly<Record<string, readonly [first: string, second: string]>>;
  /** Of matrices outside of layers that are in one tensor. */
  readonly stacks?: Readonly<Record<string, Numbered>>;
}

const LLAMA_LAYER = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/** Norms of what blocks make. */
export const AFTER_BLOCKS = {
  post_attention_norm: 'post_attention_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm',
};
/** Norms of that and of what blocks see. */
export const AROUND_BLOCKS = { ...AFTER_BLOCKS, ffn_norm: 'pre_feedforward_layernorm' };

const LFM2_LAYER = {
  attn_norm: 'operator_norm',
  attn_output: 'self_attn.out_proj',
  attn_q_norm: 'self_attn.q_layernorm',
  attn_k_norm: 'self_attn.k_layernorm',
  ffn_norm: 'ffn_norm',
  ffn_gate: 'feed_forward.w1',
  ffn_up: 'feed_forward.w3',
  ffn_down: 'feed_forward.w2',
  ffn_gate_inp: 'feed_forward.gate',
  'exp_probs_b.bias': 'feed_forward.expert_bias',
  'shortconv.conv': 'conv.conv',
  'shortconv.in_proj': 'conv.in_proj',
  'shortconv.out_proj': 'conv.out_proj',
};

/** Llama's names, with some parts of a layer under others. */
export function llamaNames(
  changes: Readonly<Record<string, string>> = {},
  experts?: TensorNames['experts'],
): TensorNames {
  return {
    outer: { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' },
    layers: 'model.layers.',
    inner: { ...LLAMA_LAYER, ...changes },
    ...(experts && { experts }),
  };
}

export const LFM2_NAMES: TensorNames = {
  outer: { token_embd: 'model.embed_tokens', token_embd_norm: 'model.embedding_norm' },
  layers: 'model.layers.',
  inner: { ...LLAMA_LAYER, ...LFM2_LAYER },
  experts: {
    ffn_gate_exps: ['feed_forward.experts.', '.w1'],
    ffn_up_exps: ['feed_forward.experts.', '.w3'],
    ffn_down_exps: ['feed_forward.experts.', '.w2'],
  },
};

export const GPT_OSS_NAMES: TensorNames = llamaNames(
  {
    post_attention_norm: 'post_attention_layernorm',
    'attn_sinks.weight': 'self_attn.sinks',
    ffn_gate_inp: 'mlp.router',
  },
  {
    ffn_gate_exps: ['mlp.experts.', '.gate_proj'],
    ffn_up_exps: ['mlp.experts.', '.up_proj'],
    ffn_down_exps: ['mlp.experts.', '.down_proj'],
  },
);

export const GPT2_NAMES: TensorNames = {
  outer: { token_embd: 'wte', position_embd: 'wpe', output_norm: 'ln_f', output: 'lm_head' },
  layers: 'h.',
  inner: {
    attn_norm: 'ln_1',
    attn_qkv: 'attn.c_attn',
    attn_output: 'attn.c_proj',
    ffn_norm: 'ln_2',
    ffn_up: 'mlp.c_fc',
    ffn_down: 'mlp.c_proj',
  },
};

export const NEOX_NAMES: TensorNames = {
  outer: {
    token_embd: 'gpt_neox.embed_in',
    output_norm: 'gpt_neox.final_layer_norm',
    output: 'embed_out',
  },
  layers: 'gpt_neox.layers.',
  inner: {
    attn_norm: 'input_layernorm',
    attn_qkv: 'attention.query_key_value',
    attn_output: 'attention.dense',
    ffn_norm: 'post_attention_layernorm',
    ffn_up: 'mlp.dense_h_to_4h',
    ffn_down: 'mlp.dense_4h_to_h',
  },
};

/**
 * Tensors under the names that the family's description uses. What has no such name keeps its own,
 * by which the check of all weights reports it.
 *
 * @param layers how many compute texts; those of later ones get names under `mtp.`, as checkpoints
 *   name what proposes next tokens
 */
export function renamed(
  tensors: ReadonlyMap<string, StoredTensor>,
  names: TensorNames,
  layers: number,
): ReadonlyMap<string, StoredTensor> {
  return new Map([...tensors.values()].flatMap((tensor) => renamedOne(tensor, names, layers)));
}

function renamedOne(
  tensor: StoredTensor,
  names: TensorNames,
  layers: number,
): [string, StoredTensor][] {
  const [, layer, part = tensor.name] = /^blk\.(\d+)\.(.*)$/.exec(tensor.name) ?? [];
  if (layer !== undefined && Number(layer) >= layers) return [[`mtp.${tensor.name}`, tensor]];
  const [, stem = '', ending = ''] = /^(.*)\.(weight|bias)$/.exec(part) ?? [];
  if (layer === undefined) {
    const stack = names.stacks?.[stem];
    if (stack) return matricesOf(tensor, (i) => `${stack[0]}${i}${stack[1]}.${ending}`);
    const own = names.outer[stem];
    return [[own === undefined ? tensor.name : `${own}.${ending}`, tensor]];
  }
  const path = `${names.layers}${layer}.`;
  const experts = (kind: string, of: StoredTensor, half?: 0 | 1): [string, StoredTensor][] => {
    const [before, behind] = names.experts?.[kind] ?? ['', kind];
    return matricesOf(of, (e) => `${path}${before}${e}${behind}.${ending}`, half);
  };
  const halves = names.halves?.[stem];
  if (halves) return [...experts(halves[0], tensor, 0), ...experts(halves[1], tensor, 1)];
  if (names.experts?.[stem]) return experts(stem, tensor);
  const whole = names.inner[part];
  if (whole !== undefined) return [[`${path}${whole}`, tensor]];
  const own = names.inner[stem];
  return [[own === undefined ? tensor.name : `${path}${own}.${ending}`, asMatrix(tensor, stem)]];
}

/** A matrix of one row is stored without a dimension for the one. */
function asMatrix(tensor: StoredTensor, stem: string): StoredTensor {
  const isRow = stem === 'ffn_gate_inp_shexp' && tensor.shape.length === 1;
  return isRow ? { ...tensor, shape: [1, ...tensor.shape] } : tensor;
}

/**
 * The matrices of a tensor `[matrices, outputs, inputs]`, each by itself.
 *
 * @param half of each matrix' outputs the first half or the second; absent: all
 */
function matricesOf(
  tensor: StoredTensor,
  nameOf: (matrix: number) => string,
  half?: 0 | 1,
): [string, StoredTensor][] {
  const [count, outputs, ...inputs] = tensor.shape;
  const parts = half === undefined ? 1 : 2;
  const shape = [outputs / parts, ...inputs];
  const bytes = tensor.bytes / count / parts;
  return Array.from({ length: count }, (_, matrix) => {
    const name = nameOf(matrix);
    const offset = tensor.offset + (matrix * parts + (half ?? 0)) * bytes;
    return [name, { ...tensor, name, shape, offset, bytes }];
  });
}
