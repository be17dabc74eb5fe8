import { llamaNames, type TensorNames } from './tensor-names.js';

/** Parts of a Mamba layer under transformers' names. */
function mambaParts(path: string): Readonly<Record<string, string>> {
  return {
    ssm_in: `${path}.in_proj`,
    ssm_conv1d: `${path}.conv1d`,
    ssm_a: `${path}.A_log`,
    ssm_d: `${path}.D`,
    'ssm_dt.bias': `${path}.dt_bias`,
    ssm_norm: `${path}.norm`,
    ssm_out: `${path}.out_proj`,
  };
}

export const MAMBA2_NAMES: TensorNames = {
  outer: { token_embd: 'backbone.embeddings', output_norm: 'backbone.norm_f', output: 'lm_head' },
  layers: 'backbone.layers.',
  inner: { attn_norm: 'norm', ...mambaParts('mixer') },
};

/** Granite 4: gate and up are two matrices, which checkpoints have in one. */
export const GRANITE_HYBRID_NAMES: TensorNames = llamaNames(
  {
    ...mambaParts('mamba'),
    ffn_gate_inp: 'block_sparse_moe.router.layer',
    ffn_gate: 'shared_mlp.gate_linear',
    ffn_up: 'shared_mlp.up_linear',
    ffn_down: 'shared_mlp.output_linear',
    ffn_gate_shexp: 'shared_mlp.gate_linear',
    ffn_up_shexp: 'shared_mlp.up_linear',
    ffn_down_shexp: 'shared_mlp.output_linear',
  },
  {
    ffn_gate_exps: ['block_sparse_moe.experts.', '.gate_linear'],
    ffn_up_exps: ['block_sparse_moe.experts.', '.up_linear'],
    ffn_down_exps: ['block_sparse_moe.experts.', '.output_linear'],
  },
);

const FALCON_H1_LAYERS = llamaNames({
  ...mambaParts('mamba'),
  // The converter writes this one name without an ending.
  ffn_norm: 'pre_ff_layernorm.weight',
  'ffn_norm.weight': 'pre_ff_layernorm.weight',
  ffn_gate: 'feed_forward.gate_proj',
  ffn_up: 'feed_forward.up_proj',
  ffn_down: 'feed_forward.down_proj',
});

export const FALCON_H1_NAMES: TensorNames = {
  ...FALCON_H1_LAYERS,
  outer: { ...FALCON_H1_LAYERS.outer, output_norm: 'model.final_layernorm' },
};

export const NEMOTRON_H_NAMES: TensorNames = {
  ...MAMBA2_NAMES,
  inner: {
    ...MAMBA2_NAMES.inner,
    attn_q: 'mixer.q_proj',
    attn_k: 'mixer.k_proj',
    attn_v: 'mixer.v_proj',
    attn_output: 'mixer.o_proj',
    ffn_up: 'mixer.up_proj',
    ffn_down: 'mixer.down_proj',
    ffn_gate_inp: 'mixer.gate',
    'exp_probs_b.bias': 'mixer.gate.e_score_correction_bias',
    ffn_latent_down: 'mixer.fc1_latent_proj',
    ffn_latent_up: 'mixer.fc2_latent_proj',
    ffn_up_shexp: 'mixer.shared_experts.up_proj',
    ffn_down_shexp: 'mixer.shared_experts.down_proj',
  },
  experts: {
    ffn_up_exps: ['mixer.experts.', '.up_proj'],
    ffn_down_exps: ['mixer.experts.', '.down_proj'],
  },
};

/** Qwen3-Next, and Qwen 3.5 with and without experts. */
export const QWEN_NAMES: TensorNames = llamaNames(
  {
    post_attention_norm: 'post_attention_layernorm',
    ...mambaParts('linear_attn'),
    attn_qkv: 'linear_attn.in_proj_qkv',
    attn_gate: 'linear_attn.in_proj_z',
    ssm_in: 'linear_attn.in_proj_qkvz',
    ssm_ba: 'linear_attn.in_proj_ba',
    ssm_alpha: 'linear_attn.in_proj_a',
    ssm_beta: 'linear_attn.in_proj_b',
    ffn_gate_inp: 'mlp.gate',
    ffn_gate_inp_shexp: 'mlp.shared_expert_gate',
    ffn_gate_shexp: 'mlp.shared_expert.gate_proj',
    ffn_up_shexp: 'mlp.shared_expert.up_proj',
    ffn_down_shexp: 'mlp.shared_expert.down_proj',
  },
  {
    ffn_gate_exps: ['mlp.experts.', '.gate_proj'],
    ffn_up_exps: ['mlp.experts.', '.up_proj'],
    ffn_down_exps: ['mlp.experts.', '.down_proj'],
  },
);
