import { expect, it } from 'vitest';
import { GGUF_ARCHITECTURES } from '../../../engine/gguf/architectures.js';
import { GEMMA_CASES } from '../../support/gemma-gguf.js';
import { float, ints, number } from '../../support/gguf.js';
import { answersOf, type GgufCase } from '../../support/gguf-case.js';
import { GPT_OSS } from '../../support/gpt-oss-gguf.js';
import { HYBRID_CASES } from '../../support/hybrid-gguf.js';

const count = (config: Readonly<Record<string, unknown>>, key: string) =>
  number(config[key] as number);
const AFTER = [
  [/post_attention_layernorm/, 'post_attention_norm'],
  [/post_feedforward_layernorm/, 'post_ffw_norm'],
] as const;
const AROUND = [...AFTER, [/pre_feedforward_layernorm/, 'ffn_norm']] as const;

const LFM2 = [
  [/^model\.embedding_norm\./, 'token_embd_norm.'],
  [/operator_norm/, 'attn_norm'],
  [/self_attn\.out_proj/, 'attn_output'],
  [/self_attn\.([qk])_layernorm/, 'attn_$1_norm'],
  [/\.conv\.(conv|in_proj|out_proj)\./, '.shortconv.$1.'],
  [/feed_forward\.experts\.(\d+)\.w1\./, 'ffn_exps.$1.gate.'],
  [/feed_forward\.experts\.(\d+)\.w2\./, 'ffn_exps.$1.down.'],
  [/feed_forward\.experts\.(\d+)\.w3\./, 'ffn_exps.$1.up.'],
  [/feed_forward\.w1/, 'ffn_gate'],
  [/feed_forward\.w2/, 'ffn_down'],
  [/feed_forward\.w3/, 'ffn_up'],
  [/feed_forward\.gate\./, 'ffn_gate_inp.'],
  [/feed_forward\.expert_bias/, 'exp_probs_b.bias'],
] as const;

/** Layers without attention have no heads of keys. */
const lfm2 = (config: Readonly<Record<string, unknown>>) => ({
  'attention.layer_norm_rms_epsilon': float(config['norm_eps'] as number),
  'attention.head_count_kv': ints(
    (config['layer_types'] as string[]).map((kind) =>
      kind === 'conv' ? 0 : (config['num_key_value_heads'] as number),
    ),
  ),
  'shortconv.l_cache': count(config, 'conv_L_cache'),
});

const CASES: readonly GgufCase[] = [
  GPT_OSS,
  ...GEMMA_CASES,
  { fixture: 'llama2', architecture: 'llama', sorts: true },
  { fixture: 'llama3', architecture: 'llama', sorts: true },
  { fixture: 'smollm2', architecture: 'llama', sorts: true },
  {
    fixture: 'mixtral',
    architecture: 'llama',
    sorts: true,
    names: [
      [/block_sparse_moe\.gate\./, 'ffn_gate_inp.'],
      [/block_sparse_moe\.experts\.(\d+)\.w1\./, 'ffn_exps.$1.gate.'],
      [/block_sparse_moe\.experts\.(\d+)\.w2\./, 'ffn_exps.$1.down.'],
      [/block_sparse_moe\.experts\.(\d+)\.w3\./, 'ffn_exps.$1.up.'],
    ],
    metadata: (config) => ({
      expert_count: count(config, 'num_local_experts'),
      expert_used_count: count(config, 'num_experts_per_tok'),
    }),
  },
  { fixture: 'qwen2', architecture: 'qwen2' },
  { fixture: 'qwen3-yarn', architecture: 'qwen3' },
  {
    fixture: 'qwen3-moe',
    architecture: 'qwen3moe',
    names: [
      [/mlp\.gate\./, 'ffn_gate_inp.'],
      [/mlp\.experts\.(\d+)\.(gate|up|down)_proj\./, 'ffn_exps.$1.$2.'],
    ],
    metadata: (config) => ({
      expert_count: number((config['num_experts'] ?? config['num_local_experts']) as number),
      expert_used_count: count(config, 'num_experts_per_tok'),
      expert_feed_forward_length: count(config, 'moe_intermediate_size'),
    }),
  },
  { fixture: 'gemma', architecture: 'gemma', fromOne: true },
  {
    fixture: 'gemma2',
    architecture: 'gemma2',
    fromOne: true,
    names: AROUND,
    config: { query_pre_attn_scalar: 16 },
    metadata: (config) => ({
      attn_logit_softcapping: float(config['attn_logit_softcapping'] as number),
      final_logit_softcapping: float(config['final_logit_softcapping'] as number),
      'attention.sliding_window': count(config, 'sliding_window'),
    }),
  },
  {
    fixture: 'phi3',
    architecture: 'phi3',
    metadata: (config) => ({ 'attention.sliding_window': count(config, 'sliding_window') }),
  },
  {
    fixture: 'granite',
    architecture: 'granite',
    sorts: true,
    metadata: (config) => ({
      embedding_scale: float(config['embedding_multiplier'] as number),
      residual_scale: float(config['residual_multiplier'] as number),
      'attention.scale': float(config['attention_multiplier'] as number),
      logit_scale: float(config['logits_scaling'] as number),
    }),
  },
  {
    fixture: 'olmo',
    architecture: 'olmo',
    sorts: true,
    metadata: (config) => ({
      'attention.clamp_kqv': float(config['clip_qkv'] as number),
      'attention.layer_norm_epsilon': float(1e-5),
    }),
  },
  { fixture: 'olmo2', architecture: 'olmo2', names: AFTER },
  {
    fixture: 'glm4',
    architecture: 'glm4',
    names: [
      [/post_self_attn_layernorm/, 'post_attention_norm'],
      [/post_mlp_layernorm/, 'post_ffw_norm'],
    ],
  },
  {
    fixture: 'cohere',
    architecture: 'command-r',
    metadata: (config) => ({ logit_scale: float(config['logit_scale'] as number) }),
  },
  {
    fixture: 'cohere2',
    architecture: 'cohere2',
    config: { layer_types: null },
    metadata: (config) => ({
      logit_scale: float(config['logit_scale'] as number),
      'attention.sliding_window': count(config, 'sliding_window'),
    }),
  },
  { fixture: 'lfm2', architecture: 'lfm2', names: LFM2, metadata: lfm2 },
  {
    fixture: 'lfm2-moe',
    architecture: 'lfm2moe',
    names: LFM2,
    metadata: (config) => ({
      ...lfm2(config),
      expert_count: count(config, 'num_experts'),
      expert_used_count: count(config, 'num_experts_per_tok'),
      expert_feed_forward_length: count(config, 'moe_intermediate_size'),
      leading_dense_block_count: count(config, 'num_dense_layers'),
    }),
  },
  {
    fixture: 'mamba2',
    architecture: 'mamba2',
    groups: 2,
    names: [
      [/^backbone\.embeddings\./, 'token_embd.'],
      [/^backbone\.norm_f\./, 'output_norm.'],
      [/^backbone\.layers\./, 'blk.'],
      [/^(blk\.\d+)\.norm\./, '$1.attn_norm.'],
      [/mixer\.(in|out)_proj/, 'ssm_$1'],
      [/mixer\.conv1d/, 'ssm_conv1d'],
      [/mixer\.A_log/, 'ssm_a'],
      [/mixer\.D$/, 'ssm_d'],
      [/mixer\.dt_bias/, 'ssm_dt.bias'],
      [/mixer\.norm/, 'ssm_norm'],
    ],
    metadata: (config) => ({
      context_length: number(2048),
      feed_forward_length: number(0),
      'attention.head_count': number(0),
      'attention.layer_norm_rms_epsilon': float(config['layer_norm_epsilon'] as number),
      'ssm.inner_size': number((config['num_heads'] as number) * (config['head_dim'] as number)),
      'ssm.time_step_rank': count(config, 'num_heads'),
      'ssm.state_size': count(config, 'state_size'),
      'ssm.group_count': count(config, 'n_groups'),
      'ssm.conv_kernel': count(config, 'conv_kernel'),
    }),
  },
  { fixture: 'starcoder2', architecture: 'starcoder2', config: { sliding_window: null } },
  { fixture: 'nemotron', architecture: 'nemotron', fromOne: true },
  { fixture: 'smollm3', architecture: 'smollm3', sorts: true, config: { no_rope_layers: null } },
  {
    fixture: 'gpt2',
    architecture: 'gpt2',
    turns: true,
    names: [
      [/^(transformer\.)?wte\./, 'token_embd.'],
      [/^(transformer\.)?wpe\./, 'position_embd.'],
      [/^(transformer\.)?ln_f\./, 'output_norm.'],
      [/^(transformer\.)?h\./, 'blk.'],
      [/\.ln_1\./, '.attn_norm.'],
      [/\.ln_2\./, '.ffn_norm.'],
      [/attn\.c_attn/, 'attn_qkv'],
      [/attn\.c_proj/, 'attn_output'],
    ],
  },
];

it('has a case of most architectures', () => {
  const tested = new Set([...CASES, ...HYBRID_CASES].map(({ architecture }) => architecture));
  const untested = GGUF_ARCHITECTURES.filter((name) => !tested.has(name));
  expect(untested).toEqual(['gptneox', 'nemotron_h', 'qwen35moe']);
});

it.each([...CASES, ...HYBRID_CASES])(
  '$fixture as a GGUF file of $architecture says what transformers says',
  async (of) => {
    const { own, expected } = await answersOf(of);
    expect(own.tokens).toEqual(expected.tokens);
    for (const [i, logits] of own.logits.entries()) {
      const worst = logits.reduce(
        (max, x, k) => Math.max(max, Math.abs(x - expected.logits[i][k])),
        0,
      );
      expect(worst).toBeLessThan(1e-3);
    }
  },
);

it('refuses a Bamba that rotates another part of each head than half', async () => {
  const bamba = HYBRID_CASES.find(({ fixture }) => fixture === 'bamba');
  if (!bamba) throw new Error('no case of Bamba');
  const config = { rope_parameters: { partial_rotary_factor: 1, rope_theta: 10_000 } };
  await expect(answersOf({ ...bamba, config })).rejects.toThrow(
    'is a Bamba that rotates 8 of the 8 floats of each head (rope.dimension_count); served are those that rotate half',
  );
});
