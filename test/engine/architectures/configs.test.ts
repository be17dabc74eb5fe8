import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Config } from '../../../engine/architectures/config.js';
import { describe as describeModel } from '../../../engine/architectures/describe-model.js';
import { checkpointDir } from '../../support/checkpoint-fixtures.js';

type Json = Record<string, unknown>;

function configOf(name: string): Json {
  return JSON.parse(readFileSync(join(checkpointDir(name), 'config.json'), 'utf8')) as Json;
}

const decoderOf = (values: Json) => describeModel(new Config('config.json', values));

/** The configuration with other keys; `undefined` removes one. */
function changed(name: string, changes: Json): Json {
  const all: Json = { ...configOf(name), ...changes };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

const rope = (name: string): Json => configOf(name)['rope_parameters'] as Json;
const kinds = (name: string): Record<string, Json> => rope(name) as Record<string, Json>;
const without = (all: Json, ...keys: string[]): Json =>
  Object.fromEntries(Object.entries(all).filter(([key]) => !keys.includes(key)));

/** As transformers 4 wrote it, which most checkpoints of the hub have. */
const OLD: readonly (readonly [string, () => Json])[] = [
  ['llama2', () => ({ rope_parameters: undefined, rope_theta: 10_000, rope_scaling: null })],
  [
    'llama3',
    () => ({
      rope_parameters: undefined,
      rope_theta: rope('llama3')['rope_theta'],
      rope_scaling: without(rope('llama3'), 'rope_theta'),
    }),
  ],
  [
    'llama-linear',
    () => ({ rope_parameters: undefined, rope_scaling: { type: 'linear', factor: 4 } }),
  ],
  [
    'qwen3-yarn',
    () => ({
      rope_parameters: undefined,
      rope_theta: rope('qwen3-yarn')['rope_theta'],
      rope_scaling: without(rope('qwen3-yarn'), 'rope_theta'),
    }),
  ],
  [
    'gemma3',
    () => ({
      rope_parameters: undefined,
      layer_types: undefined,
      sliding_window_pattern: 3,
      rope_theta: kinds('gemma3')['full_attention']['rope_theta'],
      rope_local_base_freq: kinds('gemma3')['sliding_attention']['rope_theta'],
      rope_scaling: { rope_type: 'linear', factor: 8 },
    }),
  ],
  [
    'gemma3n',
    () => ({
      rope_parameters: undefined,
      rope_theta: 1_000_000,
      rope_local_base_freq: 10_000,
      rope_scaling: null,
    }),
  ],
  [
    'olmo3',
    () => ({
      rope_parameters: undefined,
      rope_theta: kinds('olmo3')['full_attention']['rope_theta'],
      rope_scaling: without(kinds('olmo3')['full_attention'], 'rope_theta'),
    }),
  ],
  [
    'phi4-mini',
    () => ({
      rope_parameters: undefined,
      rope_theta: rope('phi4-mini')['rope_theta'],
      partial_rotary_factor: 0.75,
      original_max_position_embeddings: 40,
      rope_scaling: {
        type: 'su',
        short_factor: rope('phi4-mini')['short_factor'],
        long_factor: rope('phi4-mini')['long_factor'],
      },
    }),
  ],
  ['gpt-neox', () => ({ rope_parameters: undefined, rotary_pct: 0.5, rotary_emb_base: 10_000 })],
  ['glm4', () => ({ rope_parameters: undefined, rope_theta: 10_000, partial_rotary_factor: 0.5 })],
  [
    'cohere2',
    () => ({ rope_parameters: undefined, layer_types: ['sliding_attention', 'full_attention'] }),
  ],
  ['granite4-h', () => ({ layer_types: ['mamba', 'attention'], time_step_limit: [0, null] })],
  [
    'lfm2',
    () => ({
      rope_parameters: undefined,
      rope_theta: 1_000_000,
      layer_types: undefined,
      full_attn_idxs: [1],
      tie_word_embeddings: undefined,
      tie_embedding: true,
      intermediate_size: undefined,
      block_ff_dim: 16,
    }),
  ],
  ['nemotron-h', () => ({ layers_block_type: undefined, hybrid_override_pattern: 'ME*-M' })],
  ['qwen3-next', () => ({ layer_types: undefined, full_attention_interval: 2 })],
];

it.each(OLD)('%s is the same by a configuration of transformers 4', (name, changes) => {
  expect(decoderOf(changed(name, changes()))).toEqual(decoderOf(configOf(name)));
});

/** As Google publishes it: heads of full layers have keys of their own. */
const PUBLISHED: readonly (readonly [string, Json])[] = [
  ['gemma4', { global_head_dim: 16, num_global_key_value_heads: null, rope_parameters: null }],
  ['gemma4-experts', { global_head_dim: 16, num_global_key_value_heads: 1 }],
];

it.each(PUBLISHED)('%s is the same by a published configuration', (name, changes) => {
  const published = changed(name, { per_layer_config: undefined, ...changes });
  expect(decoderOf(published)).toEqual(decoderOf(configOf(name)));
});

it("layers that read others' keys may have weights for keys, and others may not", () => {
  const { unread } = decoderOf(configOf('gemma4'));
  const isUnread = (name: string): boolean => unread.some((pattern) => pattern.test(name));
  expect(isUnread('model.layers.3.self_attn.k_proj.weight')).toBe(true);
  expect(isUnread('model.layers.4.self_attn.v_norm.weight')).toBe(true);
  expect(isUnread('model.layers.3.self_attn.x_proj.weight')).toBe(false);
  expect(isUnread('model.layers.13.self_attn.k_proj.weight')).toBe(false);
});

it('the text of a model with images is described by its own configuration', () => {
  const outer = { model_type: 'qwen3_5', text_config: configOf('qwen3.5') };
  expect(decoderOf(outer)).toEqual(decoderOf(configOf('qwen3.5')));
});

const REFUSED: readonly (readonly [string, Json, RegExp])[] = [
  [
    'llama2',
    { model_type: 'jamba' },
    /has the model_type "jamba", whose architecture is not known/,
  ],
  ['llama2', { model_type: 'constructor' }, /the model_type "constructor", whose architecture/],
  ['llama2', { model_type: undefined }, /has no model_type, whose architecture is not known/],
  ['llama2', { hidden_act: 'mish' }, /hidden_act is "mish"; known are silu, swish, gelu/],
  [
    'llama2',
    { rope_parameters: { rope_type: 'xpos' } },
    /the kind "xpos"; known are default, linear/,
  ],
  ['llama2', { num_key_value_heads: 3 }, /num_key_value_heads must be a divisor of 4, got 3/],
  ['llama3', { rope_parameters: { rope_type: 'llama3' } }, /factor must be a number, got nothing/],
  [
    'glm4',
    { rope_parameters: { partial_rotary_factor: 2 } },
    /partial_rotary_factor must be a fraction/,
  ],
  [
    'phi4-mini',
    { rope_parameters: { ...rope('phi4-mini'), long_factor: [1] } },
    /long_factor must be a list of 6 numbers/,
  ],
  ['qwen2-window', { layer_types: ['full_attention'] }, /layer_types must be a list of 2 texts/],
  [
    'qwen2-window',
    { layer_types: ['full_attention', 'chunked_attention'] },
    /layer_types has "chunked_attention"/,
  ],
  ['gemma3', { use_bidirectional_attention: true }, /only causal attention is served/],
  ['gemma3n', { altup_active_idx: 3 }, /altup_active_idx must be a whole number below 3, got 3/],
  [
    'gemma3n',
    { activation_sparsity_pattern: [0.5, 0, 0, 1] },
    /activation_sparsity_pattern must be numbers from 0 to below 1/,
  ],
  ['gemma3n', { intermediate_size: [8, 8] }, /intermediate_size must be a list of 4 numbers/],
  ['gemma4', { use_bidirectional_attention: 'all' }, /only causal attention is served/],
  ['gemma4', { num_kv_shared_layers: 5 }, /num_kv_shared_layers must be a whole number below 5/],
  [
    'gemma4',
    { num_kv_shared_layers: 3 },
    /layer 2 reads the keys of an earlier full_attention; there is none/,
  ],
  [
    'gemma4',
    { per_layer_config: { 1: { head_dim: 16 } } },
    /per_layer_config of layer 1 has other heads than layers of its kind/,
  ],
  [
    'gemma4',
    { per_layer_config: { 1: { sliding_window: 8 } } },
    /per_layer_config of layer 1 has sliding_window; read are head_dim, num_key_value_heads/,
  ],
  [
    'gemma4',
    { rope_parameters: kinds('gemma4')['full_attention'] },
    /rope_parameters must be an object with sliding_attention/,
  ],
  ['gemma4-experts', { top_k_experts: 9 }, /top_k_experts must be at most 4, got 9/],
  ['granite4', { layer_types: ['rwkv', 'attention'] }, /layer_types has "rwkv"; layers are served/],
  [
    'granite4-h',
    { mamba_d_head: 12 },
    /mamba_d_head must be 32 divided by mamba_n_heads, 8, got 12/,
  ],
  ['bamba', { time_step_limit: [1, 0] }, /time_step_limit must be a list of two numbers/],
  ['mamba2', { n_groups: 3 }, /n_groups must be a divisor of 4, got 3/],
  ['nemotron-h', { n_group: 2 }, /n_group is above 1; experts are served that are chosen/],
  ['qwen3.5', { linear_num_key_heads: 3 }, /linear_num_key_heads must be a divisor of 4, got 3/],
  ['cohere', { use_qk_norm: true }, /use_qk_norm is true/],
  ['mixtral', { num_experts_per_tok: 9 }, /num_experts_per_tok must be at most 4, got 9/],
  ...(
    [
      [{ quant_method: 'nvfp4' }, /quantized \(quantization_config: nvfp4\); served are awq, gptq/],
      [{}, /quantized \(quantization_config: no quant_method\)/],
      [{ quant_method: 'gptq', bits: 3 }, /GPTQ of 3 bits is not served; 2, 4 and 8 bits are/],
      [{ quant_method: 'gptq' }, /bits must be a number, got nothing/],
      [
        { quant_method: 'gptq', bits: 4, checkpoint_format: 'marlin' },
        /the checkpoint_format marlin is not served; gptq and gptq_v2 are/,
      ],
      [{ quant_method: 'awq', bits: 8 }, /AWQ of 8 bits is not served; 4 bits are/],
      [{ quant_method: 'awq', version: 'gemv' }, /AWQ packed for gemv is not served; gemm are/],
      [{ quant_method: 'fp8', fmt: 'e5m2' }, /FP8 of e5m2 is not served; e4m3 are/],
      [
        { quant_method: 'fp8', weight_block_size: [0, 128] },
        /weight_block_size must be two whole numbers above 0/,
      ],
      [
        { quant_method: 'compressed-tensors', format: 'nvfp4-pack-quantized' },
        /the format nvfp4-pack-quantized is not served; pack-quantized, int-quantized/,
      ],
      [
        { quant_method: 'compressed-tensors', transform_config: { config_groups: { u: {} } } },
        /a transform_config is not served/,
      ],
      [
        {
          quant_method: 'compressed-tensors',
          config_groups: { group_0: { weights: { type: 'float', num_bits: 4 } } },
        },
        /weights of float4 is not served; int4, int8 and float8 are/,
      ],
    ] as const
  ).map(([quantization_config, reason]): readonly [string, Json, RegExp] => [
    'qwen3',
    { quantization_config },
    reason,
  ]),
];

describe('a configuration is refused in one line', () => {
  it.each(REFUSED)('%s with %j', (name, changes, reason) => {
    let message = 'nothing was thrown';
    try {
      decoderOf(changed(name, changes));
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(reason);
    expect(message).toMatch(/^config\.json: /);
    expect(message).not.toContain('\n');
  });
});
