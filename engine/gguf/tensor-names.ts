import type { StoredTensor } from '../checkpoint/stored-tensor.js';

/** Names of a family's weights, by the names that GGUF has for their parts. */
export interface TensorNames {
  /** Of tensors outside of layers. */
  readonly outer: Readonly<Record<string, string>>;
  /** What stands before the number of a layer. */
  readonly layers: string;
  /** Of tensors of a layer; of whole names first, with `.weight` or `.bias`. */
  readonly inner: Readonly<Record<string, string>>;
  /** Of experts, which are in one tensor: what stands before and behind the number of one. */
  readonly experts?: Readonly<Record<string, readonly [before: string, behind: string]>>;
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
    const own = names.outer[stem];
    return [[own === undefined ? tensor.name : `${own}.${ending}`, tensor]];
  }
  const path = `${names.layers}${layer}.`;
  const experts = names.experts?.[stem];
  if (experts) return expertsOf(tensor, (e) => `${path}${experts[0]}${e}${experts[1]}.${ending}`);
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

/** The matrices of a tensor `[experts, outputs, inputs]`. */
function expertsOf(
  tensor: StoredTensor,
  nameOf: (expert: number) => string,
): [string, StoredTensor][] {
  const [count, ...shape] = tensor.shape;
  const bytes = tensor.bytes / count;
  return Array.from({ length: count }, (_, expert) => {
    const name = nameOf(expert);
    const offset = tensor.offset + expert * bytes;
    return [name, { ...tensor, name, shape, offset, bytes }];
  });
}
