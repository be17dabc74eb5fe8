import { normalQuantile } from '../../engine/architectures/normal-quantile.js';
import type { Tensor } from './checkpoint-as-gguf.js';
import { flags, float, floats, ints, number, type Value } from './gguf.js';
import type { GgufCase } from './gguf-case.js';

type Json = Readonly<Record<string, unknown>>;

const num = (config: Json, key: string): number => config[key] as number;

const AROUND = [
  [/post_attention_layernorm/, 'post_attention_norm'],
  [/post_feedforward_layernorm/, 'post_ffw_norm'],
  [/pre_feedforward_layernorm\./, 'ffn_norm.'],
] as const;

const LAYER_INPUTS = [
  [/^model\.embed_tokens_per_layer/, 'per_layer_token_embd'],
  [/^model\.per_layer_model_projection/, 'per_layer_model_proj'],
  [/^model\.per_layer_projection_norm/, 'per_layer_proj_norm'],
  [/post_per_layer_input_norm/, 'post_norm'],
  [/per_layer_input_gate/, 'inp_gate'],
  [/per_layer_projection/, 'proj'],
] as const;

const ropeOf = (config: Json, kind: string): Json =>
  (config['rope_parameters'] as Json)[kind] as Json;
const kindsOf = (config: Json): string[] => config['layer_types'] as string[];

/** Windows and rotations of the two kinds of layers. */
function kinds(config: Json): Record<string, Value> {
  return {
    'attention.sliding_window': number(num(config, 'sliding_window')),
    'attention.sliding_window_pattern': flags(
      kindsOf(config).map((kind) => kind === 'sliding_attention'),
    ),
    'rope.freq_base': float(num(ropeOf(config, 'full_attention'), 'rope_theta')),
    'rope.freq_base_swa': float(num(ropeOf(config, 'sliding_attention'), 'rope_theta')),
  };
}

const gemma3: GgufCase = {
  fixture: 'gemma3',
  architecture: 'gemma3',
  fromOne: true,
  names: AROUND,
  // (The file states no number for it but the heads' size.)
  config: { query_pre_attn_scalar: 16 },
  metadata: (config) => ({
    'attention.sliding_window': number(num(config, 'sliding_window')),
    'attention.sliding_window_pattern': number(3),
    'rope.freq_base': float(num(ropeOf(config, 'full_attention'), 'rope_theta')),
    'rope.freq_base_swa': float(num(ropeOf(config, 'sliding_attention'), 'rope_theta')),
    'rope.scaling.type': { type: 8, value: 'linear' },
    'rope.scaling.factor': float(num(ropeOf(config, 'full_attention'), 'factor')),
  }),
};

/** The matrices between streams are one tensor. */
const STACKS = /^model\.altup_(projections|unembed_projections)\.\d+\.weight$/;

const gemma3n: GgufCase = {
  fixture: 'gemma3n',
  architecture: 'gemma3n',
  names: [
    ...AROUND,
    ...LAYER_INPUTS,
    [/laurel\.linear_left/, 'laurel_l'],
    [/laurel\.linear_right/, 'laurel_r'],
    [/laurel\.post_laurel_norm/, 'laurel_post_norm'],
    [/altup\.correction_coefs/, 'altup_correct_coef'],
    [/altup\.prediction_coefs/, 'altup_predict_coef'],
    [/altup\.modality_router/, 'altup_router'],
    [/altup\.router_norm/, 'altup_router_norm'],
    [/altup\.correct_output_scale/, 'altup_correct_scale.weight'],
  ],
  gather: (name) => {
    const [, kind] = STACKS.exec(name) ?? [];
    if (kind === undefined) return null;
    return kind === 'projections' ? 'altup_proj.weight' : 'altup_unembd_proj.weight';
  },
  metadata: (config) => ({
    ...kinds(config),
    feed_forward_length: ints(config['intermediate_size'] as number[]),
    'attention.shared_kv_layers': float(num(config, 'num_kv_shared_layers')),
    'altup.active_idx': number(num(config, 'altup_active_idx')),
    'altup.num_inputs': number(num(config, 'altup_num_inputs')),
    embedding_length_per_layer_input: number(num(config, 'hidden_size_per_layer_input')),
    final_logit_softcapping: float(num(config, 'final_logit_softcapping')),
    // Of a layer without cut, minus infinity.
    activation_sparsity_scale: floats(
      (config['activation_sparsity_pattern'] as number[]).map((share) =>
        share > 0 ? normalQuantile(share) : Number.NEGATIVE_INFINITY,
      ),
    ),
  }),
};

/** Heads of full layers, as transformers saves them. */
function fullHeads(config: Json): { readonly size: number; readonly kvHeads: number } {
  const last = String(kindsOf(config).lastIndexOf('full_attention'));
  const own = (config['per_layer_config'] as Json)[last] as Readonly<Record<string, number>>;
  return {
    size: own['head_dim'],
    kvHeads: own['num_key_value_heads'] ?? num(config, 'num_key_value_heads'),
  };
}

/** A factor for each pair of a full layer's heads, those that do not turn included. */
function rotationFactors(config: Json): Tensor {
  const pairs = fullHeads(config).size / 2;
  const turned = pairs * num(ropeOf(config, 'full_attention'), 'partial_rotary_factor');
  const values = Float32Array.from({ length: pairs }, (_, i) => (i < turned ? 1 : 1e30));
  return { name: 'rope_freqs.weight', shape: [pairs], values };
}

const gemma4: Omit<GgufCase, 'fixture'> = {
  architecture: 'gemma4',
  names: [
    [/pre_feedforward_layernorm_2/, 'pre_ffw_norm_2'],
    [/post_feedforward_layernorm_([12])/, 'post_ffw_norm_$1'],
    ...AROUND,
    ...LAYER_INPUTS,
    [/layer_scalar/, 'layer_output_scale.weight'],
    [/router\.proj/, 'ffn_gate_inp'],
    [/router\.scale/, 'ffn_gate_inp.scale'],
    [/router\.per_expert_scale/, 'ffn_down_exps.scale'],
    [/experts\.gate_up_proj/, 'ffn_gate_up_exps.weight'],
    [/experts\.down_proj/, 'ffn_down_exps.weight'],
  ],
  more: (config) => [rotationFactors(config)],
  metadata: (config) => {
    const layers = num(config, 'num_hidden_layers');
    const shared = num(config, 'num_kv_shared_layers');
    const width = num(config, 'intermediate_size');
    const { size, kvHeads } = fullHeads(config);
    const softcap = config['final_logit_softcapping'];
    const count = config['num_experts'];
    return {
      ...kinds(config),
      'attention.shared_kv_layers': number(shared),
      'attention.key_length': number(size),
      'attention.key_length_swa': number(num(config, 'head_dim')),
      'rope.dimension_count': number(size),
      'rope.dimension_count_swa': number(num(config, 'head_dim')),
      embedding_length_per_layer_input: number(
        (config['hidden_size_per_layer_input'] as number | undefined) ?? 0,
      ),
      ...(config['use_double_wide_mlp'] === true && {
        feed_forward_length: ints(
          Array.from({ length: layers }, (_, i) => (i < layers - shared ? width : 2 * width)),
        ),
      }),
      'attention.head_count_kv': ints(
        kindsOf(config).map((kind) =>
          kind === 'full_attention' ? kvHeads : num(config, 'num_key_value_heads'),
        ),
      ),
      ...(typeof softcap === 'number' && { final_logit_softcapping: float(softcap) }),
      ...(typeof count === 'number' && {
        expert_count: number(count),
        expert_used_count: number(num(config, 'top_k_experts')),
        expert_feed_forward_length: number(num(config, 'moe_intermediate_size')),
      }),
    };
  },
};

/** Gemma 3 and its successors, as llama.cpp's converter writes them. */
export const GEMMA_CASES: readonly GgufCase[] = [
  gemma3,
  gemma3n,
  { fixture: 'gemma4', ...gemma4 },
  { fixture: 'gemma4-experts', ...gemma4 },
  { fixture: 'gemma4-unified', ...gemma4 },
];
