import type { GgufCheckpoint } from '../checkpoint/gguf-files.js';
import {
  type Architecture,
  byLayer,
  type ConfigValues,
  experts,
  headSizeOf,
  layerTypes,
} from './architecture.js';
import type { GgufKeys } from './keys.js';
import { rotationOf } from './rotation.js';
import { AROUND_BLOCKS, llamaNames, type TensorNames } from './tensor-names.js';

/** Of vectors for each layer. */
const LAYER_INPUTS = {
  inp_gate: 'per_layer_input_gate',
  proj: 'per_layer_projection',
  post_norm: 'post_per_layer_input_norm',
};

const GEMMA3N_LAYERS = llamaNames({
  ...AROUND_BLOCKS,
  ...LAYER_INPUTS,
  laurel_l: 'laurel.linear_left',
  laurel_r: 'laurel.linear_right',
  laurel_post_norm: 'laurel.post_laurel_norm',
  altup_correct_coef: 'altup.correction_coefs',
  altup_predict_coef: 'altup.prediction_coefs',
  altup_router: 'altup.modality_router',
  altup_router_norm: 'altup.router_norm',
  'altup_correct_scale.weight': 'altup.correct_output_scale',
});

const GEMMA4_LAYERS = llamaNames(
  {
    ...AROUND_BLOCKS,
    ...LAYER_INPUTS,
    pre_ffw_norm_2: 'pre_feedforward_layernorm_2',
    post_ffw_norm_1: 'post_feedforward_layernorm_1',
    post_ffw_norm_2: 'post_feedforward_layernorm_2',
    'layer_output_scale.weight': 'layer_scalar',
    ffn_gate_inp: 'router.proj',
    'ffn_gate_inp.scale': 'router.scale',
    'ffn_down_exps.scale': 'router.per_expert_scale',
  },
  {
    ffn_gate_exps: ['experts.', '.gate_proj'],
    ffn_up_exps: ['experts.', '.up_proj'],
    ffn_down_exps: ['experts.', '.down_proj'],
  },
);

const withLayerInputs = (names: TensorNames): TensorNames => ({
  ...names,
  outer: {
    ...names.outer,
    per_layer_token_embd: 'model.embed_tokens_per_layer',
    per_layer_model_proj: 'model.per_layer_model_projection',
    per_layer_proj_norm: 'model.per_layer_projection_norm',
  },
});

/** Only the largest of each Gemma divides scores by another number than the heads' size. */
const gemmaScalar = (keys: GgufKeys, largest: number): number =>
  keys.number('block_count') === largest
    ? keys.number('embedding_length') / keys.number('attention.head_count')
    : headSizeOf(keys);

/** By `general.architecture`. */
export const GEMMAS: Readonly<Record<string, Architecture>> = {
  gemma: {
    names: llamaNames(),
    values: () => ({ model_type: 'gemma', hidden_act: 'gelu_pytorch_tanh' }),
  },
  gemma2: {
    names: llamaNames(AROUND_BLOCKS),
    values: (keys) => ({
      model_type: 'gemma2',
      query_pre_attn_scalar: gemmaScalar(keys, 46),
      attn_logit_softcapping: keys.maybe('attn_logit_softcapping') ?? 50,
      final_logit_softcapping: keys.maybe('final_logit_softcapping') ?? 30,
      sliding_window: keys.maybe('attention.sliding_window') ?? 4096,
    }),
  },
  gemma3: {
    names: llamaNames(AROUND_BLOCKS),
    values: (keys) => ({
      model_type: 'gemma3_text',
      query_pre_attn_scalar: gemmaScalar(keys, 62),
      sliding_window_pattern: keys.maybe('attention.sliding_window_pattern') ?? 6,
      rope_local_base_freq: keys.maybe('rope.freq_base_swa') ?? 10_000,
    }),
  },
  gemma3n: {
    names: {
      ...withLayerInputs(GEMMA3N_LAYERS),
      stacks: {
        altup_proj: ['model.altup_projections.', ''],
        altup_unembd_proj: ['model.altup_unembed_projections.', ''],
      },
    },
    hasStates: true,
    values: gemma3n,
  },
  gemma4: {
    names: {
      ...withLayerInputs(GEMMA4_LAYERS),
      halves: { ffn_gate_up_exps: ['ffn_gate_exps', 'ffn_up_exps'] },
    },
    hasStates: true,
    values: gemma4,
  },
};

function gemma3n(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  const deviations = byLayer(keys, 'activation_sparsity_scale');
  return {
    model_type: 'gemma3n_text',
    intermediate_size: byLayer(keys, 'feed_forward_length'),
    layer_types: layerTypes(keys, (layer) => (layer + 1) % 5 !== 0),
    rope_local_base_freq: keys.maybe('rope.freq_base_swa') ?? 10_000,
    num_kv_shared_layers: keys.number('attention.shared_kv_layers'),
    final_logit_softcapping: keys.maybe('final_logit_softcapping') ?? 30,
    altup_num_inputs: keys.number('altup.num_inputs'),
    altup_active_idx: keys.number('altup.active_idx'),
    laurel_rank: checkpoint.tensors.get('blk.0.laurel_l.weight')?.shape[0],
    // Layers without a cut state minus infinity.
    activation_sparsity_scale: deviations.map((x) => (Number.isFinite(x) ? x : null)),
    ...layerInputs(keys, checkpoint),
  };
}

function gemma4(keys: GgufKeys, checkpoint: GgufCheckpoint): ConfigValues {
  const { tensors } = checkpoint;
  const kinds = layerTypes(keys, (layer) => (layer + 1) % 6 !== 0);
  const [sliding, full] = ['sliding_attention', 'full_attention'].map((kind) =>
    kinds.indexOf(kind),
  );
  const heads = byLayer(keys, 'attention.head_count_kv');
  const widths = byLayer(keys, 'feed_forward_length');
  const size = keys.number('attention.key_length');
  const slidingSize = keys.number('attention.key_length_swa');
  const rotation = rotationOf(keys, checkpoint);
  if (rotation === null) {
    throw keys.unsupported('is a Gemma 4 without rope_freqs.weight, by which full layers rotate');
  }
  return {
    model_type: 'gemma4_text',
    intermediate_size: widths[0],
    use_double_wide_mlp: widths.at(-1) === 2 * widths[0],
    head_dim: slidingSize,
    global_head_dim: size,
    num_key_value_heads: heads[Math.max(sliding, 0)],
    num_global_key_value_heads: heads[full],
    attention_k_eq_v: !tensors.has(`blk.${full}.attn_v.weight`),
    layer_types: kinds,
    num_kv_shared_layers: keys.maybe('attention.shared_kv_layers') ?? 0,
    final_logit_softcapping: keys.maybe('final_logit_softcapping'),
    rope_parameters: {
      full_attention: {
        ...rotation,
        rope_theta: keys.number('rope.freq_base'),
        partial_rotary_factor: 1,
      },
      sliding_attention: {
        rope_type: 'default',
        rope_theta: keys.maybe('rope.freq_base_swa') ?? 10_000,
        partial_rotary_factor:
          (keys.maybe('rope.dimension_count_swa') ?? slidingSize) / slidingSize,
      },
    },
    rope_scaling: null,
    ...(tensors.has('blk.0.ffn_gate_inp.weight') && {
      enable_moe_block: true,
      num_experts: keys.number('expert_count'),
      top_k_experts: experts(keys)['num_experts_per_tok'],
      moe_intermediate_size: keys.number('expert_feed_forward_length'),
      gates_separate: true,
    }),
    ...layerInputs(keys, checkpoint),
  };
}

/** Sizes of the vectors for each layer; 0 without. */
function layerInputs(keys: GgufKeys, { tensors }: GgufCheckpoint): ConfigValues {
  return {
    hidden_size_per_layer_input: keys.maybe('embedding_length_per_layer_input') ?? 0,
    vocab_size_per_layer_input: tensors.get('per_layer_token_embd.weight')?.shape[0],
  };
}
