import type { GgufCheckpoint } from '../checkpoint/gguf-files.js';
import {
  type Architecture,
  anyLayerHas,
  byLayer,
  type ConfigValues,
  experts,
  headSizeOf,
  layersOf,
  layersWithoutExperts,
  layerTypes,
  NEIGHBORS,
} from './architecture.js';
import { GEMMAS } from './gemma.js';
import { MAMBA2_NAMES } from './hybrid-names.js';
import { HYBRIDS } from './hybrids.js';
import { GgufKeys } from './keys.js';
import { rotationOf } from './rotation.js';
import {
  AFTER_BLOCKS,
  GPT_OSS_NAMES,
  GPT2_NAMES,
  llamaNames,
  NEOX_NAMES,
  type TensorNames,
} from './tensor-names.js';

const has = ({ tensors }: GgufCheckpoint, name: string): boolean => tensors.has(name);

const MIXTRAL_NAMES = llamaNames(
  { ffn_gate_inp: 'block_sparse_moe.gate' },
  {
    ffn_gate_exps: ['block_sparse_moe.experts.', '.w1'],
    ffn_up_exps: ['block_sparse_moe.experts.', '.w3'],
    ffn_down_exps: ['block_sparse_moe.experts.', '.w2'],
  },
);

/** By `general.architecture`; `mixtral` is what llama with experts means. */
const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: { names: llamaNames(), values: () => ({ model_type: 'llama', ...NEIGHBORS }) },
  mixtral: {
    names: MIXTRAL_NAMES,
    values: (keys) => ({ model_type: 'mixtral', ...NEIGHBORS, ...experts(keys) }),
  },
  qwen2: { names: llamaNames(), values: () => ({ model_type: 'qwen2' }) },
  qwen3: { names: llamaNames(), values: () => ({ model_type: 'qwen3' }) },
  qwen3moe: {
    names: llamaNames(
      { ffn_gate_inp: 'mlp.gate' },
      {
        ffn_gate_exps: ['mlp.experts.', '.gate_proj'],
        ffn_up_exps: ['mlp.experts.', '.up_proj'],
        ffn_down_exps: ['mlp.experts.', '.down_proj'],
      },
    ),
    values: (keys, checkpoint) => ({
      model_type: 'qwen3_moe',
      ...experts(keys),
      moe_intermediate_size: keys.number('expert_feed_forward_length'),
      norm_topk_prob: true,
      mlp_only_layers: layersWithoutExperts(keys, checkpoint),
    }),
  },
  phi3: {
    names: llamaNames({ attn_qkv: 'self_attn.qkv_proj', ffn_up: 'mlp.gate_up_proj' }),
    values: () => ({ model_type: 'phi3' }),
  },
  granite: {
    names: llamaNames(),
    values: (keys) => ({
      model_type: 'granite',
      ...NEIGHBORS,
      embedding_multiplier: keys.number('embedding_scale'),
      residual_multiplier: keys.number('residual_scale'),
      attention_multiplier: keys.number('attention.scale'),
      logits_scaling: keys.number('logit_scale'),
    }),
  },
  olmo: {
    names: llamaNames(),
    values: (keys) => ({
      model_type: 'olmo',
      ...NEIGHBORS,
      clip_qkv: keys.maybe('attention.clamp_kqv') || null,
    }),
  },
  olmo2: {
    names: llamaNames(AFTER_BLOCKS),
    values: (keys) => ({
      model_type: keys.maybe('attention.sliding_window') ? 'olmo3' : 'olmo2',
    }),
  },
  glm4: {
    names: llamaNames({
      post_attention_norm: 'post_self_attn_layernorm',
      post_ffw_norm: 'post_mlp_layernorm',
      ffn_up: 'mlp.gate_up_proj',
    }),
    values: () => ({ model_type: 'glm4' }),
  },
  'command-r': {
    names: llamaNames(),
    values: (keys, checkpoint) => ({
      model_type: 'cohere',
      logit_scale: keys.number('logit_scale'),
      use_qk_norm: has(checkpoint, 'blk.0.attn_q_norm.weight'),
    }),
  },
  cohere2: {
    names: llamaNames(),
    values: (keys) => ({ model_type: 'cohere2', logit_scale: keys.number('logit_scale') }),
  },
  mamba2: {
    names: MAMBA2_NAMES,
    values: (keys, checkpoint) => {
      const heads = keys.number('ssm.time_step_rank');
      return {
        model_type: 'mamba2',
        num_attention_heads: null,
        num_key_value_heads: null,
        intermediate_size: null,
        num_heads: heads,
        head_dim: keys.number('ssm.inner_size') / heads,
        state_size: keys.number('ssm.state_size'),
        n_groups: keys.number('ssm.group_count'),
        conv_kernel: keys.number('ssm.conv_kernel'),
        layer_norm_epsilon: keys.number('attention.layer_norm_rms_epsilon'),
        use_bias: has(checkpoint, 'blk.0.ssm_in.bias'),
        use_conv_bias: has(checkpoint, 'blk.0.ssm_conv1d.bias'),
      };
    },
  },
  starcoder2: {
    names: llamaNames({ ffn_up: 'mlp.c_fc', ffn_down: 'mlp.c_proj' }),
    values: (_, checkpoint) => ({
      model_type: 'starcoder2',
      use_bias: has(checkpoint, 'blk.0.attn_q.bias'),
    }),
  },
  nemotron: {
    names: llamaNames(),
    values: (_, checkpoint) => ({
      model_type: 'nemotron',
      mlp_bias: has(checkpoint, 'blk.0.ffn_up.bias'),
    }),
  },
  smollm3: {
    names: llamaNames(),
    values: () => ({ model_type: 'smollm3', ...NEIGHBORS, no_rope_layer_interval: 4 }),
  },
  gpt2: {
    names: GPT2_NAMES,
    values: (keys) => ({
      model_type: 'gpt2',
      n_embd: keys.number('embedding_length'),
      n_layer: keys.number('block_count'),
      n_head: keys.number('attention.head_count'),
      n_positions: keys.number('context_length'),
      n_inner: keys.number('feed_forward_length'),
      layer_norm_epsilon: keys.number('attention.layer_norm_epsilon'),
    }),
  },
  gptneox: {
    names: NEOX_NAMES,
    values: (keys) => ({
      model_type: 'gpt_neox',
      hidden_act: 'gelu',
      attention_bias: true,
      use_parallel_residual: keys.flag('gptneox.use_parallel_residual', true),
    }),
  },
  'gpt-oss': {
    names: GPT_OSS_NAMES,
    values: (keys, checkpoint) => ({
      model_type: 'gpt_oss',
      ...experts(keys),
      gates_separate: true,
      // (The model's own: the ramp of YaRN begins and ends between pairs.)
      rope_scaling: { ...rotationOf(keys, checkpoint), truncate: false },
      intermediate_size: keys.number('expert_feed_forward_length'),
      layer_types: layerTypes(keys, (layer) => layer % 2 === 0),
    }),
  },
  ...GEMMAS,
  ...HYBRIDS,
};

/** Architectures of GGUF files that are served. */
export const GGUF_ARCHITECTURES: readonly string[] = Object.keys(ARCHITECTURES).filter(
  (name) => name !== 'mixtral',
);

/** The configuration that a file's metadata state, and the names of its weights. */
export interface GgufModel {
  readonly config: ConfigValues;
  readonly names: TensorNames;
  /** How many compute texts; those behind them are not served. */
  readonly layers: number;
}

/**
 * Reads the metadata of a model in the terms of config.json.
 *
 * @throws OctavoError `model_unsupported` for an architecture that is not known;
 *   `model_file_corrupt`
 */
export function readGgufModel(checkpoint: GgufCheckpoint): GgufModel {
  const keys = new GgufKeys(checkpoint.file, checkpoint.metadata);
  const { architecture } = keys;
  const hasExperts = architecture === 'llama' && (keys.maybe('expert_count') ?? 0) > 0;
  const known = GGUF_ARCHITECTURES.includes(architecture)
    ? ARCHITECTURES[hasExperts ? 'mixtral' : architecture]
    : undefined;
  if (!known) {
    throw keys.unsupported(
      `has the architecture ${JSON.stringify(architecture.slice(0, 60))}, which is not known. GGUF files are served of ${GGUF_ARCHITECTURES.join(', ')}`,
    );
  }
  const all = usual(keys, checkpoint, known.hasStates ?? false);
  const config = { ...all, ...known.values(keys, checkpoint) };
  return { config, names: known.names, layers: layersOf(keys) };
}

/** What most architectures state under the same keys. */
function usual(keys: GgufKeys, checkpoint: GgufCheckpoint, hasStates: boolean): ConfigValues {
  const headSize = headSizeOf(keys);
  const rotated = keys.maybe('rope.dimension_count');
  const epsilon = keys.maybe('attention.layer_norm_epsilon');
  const isTied = !has(checkpoint, 'output.weight');
  return {
    vocab_size: checkpoint.tensors.get('token_embd.weight')?.shape[0],
    hidden_size: keys.number('embedding_length'),
    intermediate_size: hasStates
      ? Math.max(...byLayer(keys, 'feed_forward_length'))
      : keys.number('feed_forward_length'),
    num_hidden_layers: layersOf(keys),
    num_attention_heads: keys.number('attention.head_count'),
    num_key_value_heads: hasStates
      ? Math.max(...byLayer(keys, 'attention.head_count_kv'))
      : keys.maybe('attention.head_count_kv'),
    head_dim: headSize,
    max_position_embeddings: keys.number('context_length'),
    rms_norm_eps: keys.maybe('attention.layer_norm_rms_epsilon'),
    layer_norm_eps: epsilon,
    norm_epsilon: epsilon,
    norm_eps: epsilon,
    partial_rotary_factor: rotated === null ? null : rotated / headSize,
    rope_theta: keys.maybe('rope.freq_base') ?? 10_000,
    rope_scaling: rotationOf(keys, checkpoint),
    sliding_window: keys.maybe('attention.sliding_window'),
    attn_logit_softcapping: null,
    final_logit_softcapping: null,
    attention_bias: anyLayerHas(checkpoint, 'attn_q.bias'),
    mlp_bias: has(checkpoint, 'blk.0.ffn_gate.bias'),
    tie_word_embeddings: isTied,
  };
}
