import type { GgufCheckpoint } from '../checkpoint/gguf-files.js';
import {
  type Architecture,
  anyLayerHas,
  byLayer,
  type ConfigValues,
  experts,
  headSizeOf,
  layersWithoutExperts,
  SORTED,
} from './architecture.js';
import {
  FALCON_H1_NAMES,
  GRANITE_HYBRID_NAMES,
  NEMOTRON_H_NAMES,
  QWEN_NAMES,
} from './hybrid-names.js';
import type { GgufKeys } from './keys.js';
import { LFM2_NAMES } from './tensor-names.js';

/** Architectures some of whose layers keep a state, by `general.architecture`. */
export const HYBRIDS: Readonly<Record<string, Architecture>> = {
  lfm2: { names: LFM2_NAMES, hasStates: true, values: lfm2 },
  lfm2moe: {
    names: LFM2_NAMES,
    hasStates: true,
    values: (keys, checkpoint) => ({
      ...lfm2(keys, checkpoint),
      model_type: 'lfm2_moe',
      num_experts: keys.number('expert_count'),
      num_experts_per_tok: keys.number('expert_used_count'),
      moe_intermediate_size: keys.number('expert_feed_forward_length'),
      num_dense_layers: keys.maybe('leading_dense_block_count') ?? 0,
    }),
  },
  granitehybrid: { names: GRANITE_HYBRID_NAMES, hasStates: true, values: graniteHybrid },
  'falcon-h1': { names: FALCON_H1_NAMES, hasStates: true, values: falconH1 },
  nemotron_h: { names: NEMOTRON_H_NAMES, hasStates: true, values: nemotronH },
  nemotron_h_moe: { names: NEMOTRON_H_NAMES, hasStates: true, values: nemotronH },
  qwen3next: {
    names: QWEN_NAMES,
    hasStates: true,
    values: (keys, checkpoint) => ({
      ...qwen(keys),
      ...qwenExperts(keys, checkpoint),
      model_type: 'qwen3_next',
      linear_values_separate: anyLayerHas(checkpoint, 'attn_gate.weight'),
    }),
  },
  qwen35: {
    names: QWEN_NAMES,
    hasStates: true,
    values: (keys) => ({ ...qwen(keys), model_type: 'qwen3_5_text', linear_values_strided: true }),
  },
  qwen35moe: {
    names: QWEN_NAMES,
    hasStates: true,
    values: (keys, checkpoint) => ({
      ...qwen(keys),
      ...qwenExperts(keys, checkpoint),
      model_type: 'qwen3_5_moe_text',
      linear_values_strided: true,
    }),
  },
};

/** Layers without attention have no heads of keys. */
function lfm2(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  const kvHeads = byLayer(keys, 'attention.head_count_kv');
  return {
    model_type: 'lfm2',
    // The width is stated as it is.
    block_auto_adjust_ff_dim: false,
    norm_eps: keys.number('attention.layer_norm_rms_epsilon'),
    conv_L_cache: keys.number('shortconv.l_cache'),
    conv_bias: anyLayerHas(checkpoint, 'shortconv.in_proj.bias'),
    layer_types: kvHeads.map((heads) => (heads > 0 ? 'full_attention' : 'conv')),
  };
}

/** Sizes of Mamba layers, as Bamba's configuration calls them. */
function mamba(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  const [inner, heads] = [keys.number('ssm.inner_size'), keys.number('ssm.time_step_rank')];
  return {
    mamba_expand: inner / keys.number('embedding_length'),
    mamba_n_heads: heads,
    mamba_d_head: inner / heads,
    mamba_n_groups: keys.number('ssm.group_count'),
    mamba_d_state: keys.number('ssm.state_size'),
    mamba_d_conv: keys.number('ssm.conv_kernel'),
    mamba_conv_bias: anyLayerHas(checkpoint, 'ssm_conv1d.bias'),
    mamba_proj_bias: anyLayerHas(checkpoint, 'ssm_in.bias'),
  };
}

/** Granite 4, with experts or without; and Bamba, whose file only its rotation tells apart. */
function graniteHybrid(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  const isBamba = keys.flag(`${keys.architecture}.rope.scaling.finetuned`, false);
  const count = keys.maybe('expert_count') ?? 0;
  return {
    ...mamba(keys, checkpoint),
    ...(isBamba ? bambaRotation(keys) : { position_embedding_type: 'nope' }),
    ...SORTED,
    model_type: 'granitemoehybrid',
    layer_types: byLayer(keys, 'attention.head_count_kv').map((heads) =>
      heads > 0 ? 'full_attention' : 'linear_attention',
    ),
    attention_multiplier: keys.maybe('attention.scale') ?? headSizeOf(keys) ** -0.5,
    embedding_multiplier: keys.maybe('embedding_scale') ?? 1,
    residual_multiplier: keys.maybe('residual_scale') ?? 1,
    logits_scaling: keys.maybe('logit_scale') ?? 1,
    gates_separate: true,
    shared_intermediate_size:
      (count > 0 ? keys.maybe('expert_shared_feed_forward_length') : null) ??
      keys.number('feed_forward_length'),
    ...(count > 0 ? experts(keys) : { num_local_experts: 0 }),
  };
}

/**
 * Bamba rotates the first half of each head: of a head of n, the pairs (i, i + n / 4), i < n / 4.
 * The converter sorts rows as for a rotation of whole heads, so that pair i is at (2i, 2i + n / 2):
 * of the pairs (j, j + n / 2) of a whole head, every second one, and with the very angle that it
 * would have there. (llama.cpp itself rotates the first half of the sorted rows, and so other pairs
 * than the model was trained with.)
 */
function bambaRotation(keys: GgufKeys): ConfigValues {
  const size = headSizeOf(keys);
  const rotated = keys.number('rope.dimension_count');
  if (2 * rotated !== size || size % 4 !== 0) {
    throw keys.unsupported(
      `is a Bamba that rotates ${rotated} of the ${size} floats of each head (rope.dimension_count); served are those that rotate half`,
    );
  }
  const factors = Array.from({ length: size / 2 }, (_, pair) => (pair % 2 === 0 ? 1 : NO_ANGLE));
  return {
    position_embedding_type: 'rope',
    partial_rotary_factor: 1,
    rope_scaling: { rope_type: 'divided', factors },
  };
}

/** Divides a frequency so that nothing is left of the angle at any position. */
const NO_ANGLE = 1e30;

/** Its factors are in the weights. */
function falconH1(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  return {
    ...mamba(keys, checkpoint),
    model_type: 'falcon_h1',
    mamba_d_ssm: keys.number('ssm.inner_size'),
    mamba_rms_norm: anyLayerHas(checkpoint, 'ssm_norm.weight'),
    mamba_norm_before_gate: false,
    projectors_bias: anyLayerHas(checkpoint, 'ssm_out.bias'),
  };
}

/** Each layer is one block; which, its sizes say. */
function nemotronH(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  const widths = byLayer(keys, 'feed_forward_length');
  const hasExperts = (layer: number): boolean =>
    checkpoint.tensors.has(`blk.${layer}.ffn_gate_inp.weight`);
  const kinds = byLayer(keys, 'attention.head_count_kv').map((heads, layer) => {
    if (heads > 0) return 'full_attention';
    if (widths[layer] === 0) return 'linear_attention';
    return hasExperts(layer) ? 'moe' : 'mlp';
  });
  const heads = keys.number('ssm.time_step_rank');
  return {
    model_type: 'nemotron_h',
    layers_block_type: kinds,
    intermediate_size: Math.max(1, ...widths.filter((_, layer) => !hasExperts(layer))),
    mlp_hidden_act: 'relu2',
    mlp_bias: anyLayerHas(checkpoint, 'ffn_up.bias'),
    layer_norm_epsilon: keys.number('attention.layer_norm_rms_epsilon'),
    mamba_num_heads: heads,
    mamba_head_dim: keys.number('ssm.inner_size') / heads,
    n_groups: keys.number('ssm.group_count'),
    ssm_state_size: keys.number('ssm.state_size'),
    conv_kernel: keys.number('ssm.conv_kernel'),
    use_conv_bias: anyLayerHas(checkpoint, 'ssm_conv1d.bias'),
    use_bias: anyLayerHas(checkpoint, 'ssm_in.bias'),
    ...(kinds.includes('moe') && {
      n_routed_experts: keys.number('expert_count'),
      num_experts_per_tok: keys.number('expert_used_count'),
      moe_intermediate_size: keys.number('expert_feed_forward_length'),
      moe_shared_expert_intermediate_size: keys.number('expert_shared_feed_forward_length'),
      moe_latent_size: keys.maybe('moe_latent_size'),
      norm_topk_prob: keys.flag(`${keys.architecture}.expert_weights_norm`, false),
      routed_scaling_factor: keys.maybe('expert_weights_scale') ?? 1,
      n_group: keys.maybe('expert_group_count') ?? 1,
    }),
  };
}

function qwen(keys: GgufKeys): ConfigValues {
  const values = keys.number('ssm.time_step_rank');
  const isRecurrent = keys.flags(
    `${keys.architecture}.attention.recurrent_layers`,
    keys.number('block_count'),
  );
  return {
    full_attention_interval: keys.maybe('full_attention_interval') ?? 4,
    layer_types:
      isRecurrent?.map((state) => (state ? 'linear_attention' : 'full_attention')) ?? null,
    linear_conv_kernel_dim: keys.number('ssm.conv_kernel'),
    linear_num_key_heads: keys.number('ssm.group_count'),
    linear_num_value_heads: values,
    linear_key_head_dim: keys.number('ssm.state_size'),
    linear_value_head_dim: keys.number('ssm.inner_size') / values,
  };
}

function qwenExperts(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  return {
    ...experts(keys),
    moe_intermediate_size: keys.number('expert_feed_forward_length'),
    shared_expert_intermediate_size: keys.number('expert_shared_feed_forward_length'),
    norm_topk_prob: true,
    mlp_only_layers: layersWithoutExperts(keys, checkpoint),
  };
}
