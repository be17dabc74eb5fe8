import type { Config } from '../config.js';
import type { Decoder, GatedConvolution } from '../decoder.js';
import { softmaxExperts } from './experts.js';
import { llamaDecoder, namedMlp, normsAt, type Traits } from './llama-layers.js';
import { convolution } from './mamba.js';
import { layerKinds, linear, readSizes, rmsNorm } from './parts.js';

/** LFM2 and 2.5: short convolutions in most layers, attention in the others. */
export function lfm2(config: Config): Decoder {
  const traits = traitsOf(config);
  const { hidden } = traits.sizes;
  const inner = adjustedWidth(config, traits.sizes.inner);
  return llamaDecoder(config, {
    family: 'lfm2',
    ...traits,
    feedForward: (path) => namedMlp(feedForwardAt(path), { hidden, inner }, 'silu', NAMES),
  });
}

/** LFM2 with experts in all but the first layers. */
export function lfm2Moe(config: Config): Decoder {
  const traits = traitsOf(config);
  const { sizes } = traits;
  const numDense = config.number('num_dense_layers', 2);
  const count = config.count('num_experts', 32);
  const hasBias = config.flag('use_expert_bias', true);
  const isNormalized = config.flag('norm_topk_prob', true);
  const experts = softmaxExperts(config, {
    count,
    perToken: config.size('num_experts_per_tok', 4),
    normalized: isNormalized,
    hidden: sizes.hidden,
    inner: config.size('moe_intermediate_size', 1792),
    router: 'gate',
    names: NAMES,
    routing: (path) => ({
      scores: 'sigmoid',
      choiceBias: hasBias ? { name: `${path}.expert_bias`, shape: [count] } : null,
      normalized: isNormalized ? { epsilon: 1e-6 } : null,
      scale: config.number('routed_scaling_factor', 1),
    }),
  });
  return llamaDecoder(config, {
    family: 'lfm2_moe',
    ...traits,
    feedForward: (path, layer) =>
      layer < numDense
        ? namedMlp(feedForwardAt(path), sizes, 'silu', NAMES)
        : experts(feedForwardAt(path)),
  });
}

const NAMES = { gate: 'w1', up: 'w3', down: 'w2' };

const feedForwardAt = (path: string): string => path.replace(/mlp$/, 'feed_forward');

type Lfm2Traits = Omit<Traits, 'family'> & Required<Pick<Traits, 'sizes'>>;

function traitsOf(config: Config): Lfm2Traits {
  const sizes = readSizes(config.with({ intermediate_size: widthOf(config) }));
  const { hidden, heads, headSize, layers } = sizes;
  const epsilon = config.number('norm_eps', 1e-5);
  const taps = config.size('conv_L_cache', 3);
  const bias = config.flag('conv_bias', false);
  const attending = new Set(config.list('full_attn_idxs'));
  const hasList = config.has('full_attn_idxs');
  const kinds =
    layerKinds(config, layers, ['layer_types'], ['full_attention', 'conv']) ??
    Array.from({ length: layers }, (_, layer) =>
      !hasList || attending.has(layer) ? 'full_attention' : 'conv',
    );
  const mixed = (path: string): GatedConvolution => ({
    kind: 'gated-convolution',
    input: linear(`${path}.in_proj`, 3 * hidden, hidden, bias),
    convolution: convolution(`${path}.conv`, hidden, taps, bias),
    output: linear(`${path}.out_proj`, hidden, hidden, bias),
  });
  const headNorm = (path: string) =>
    ({ norm: rmsNorm(path, headSize, epsilon), of: 'head' }) as const;
  return {
    sizes,
    tied: config.flag('tie_embedding', true),
    theta: 1_000_000,
    activation: 'silu',
    norm: (path, size) => rmsNorm(path, size, epsilon),
    norms: normsAt('operator_norm', 'ffn_norm'),
    finalNorm: 'model.embedding_norm',
    attention: (path) => ({
      output: linear(`${path}.out_proj`, hidden, heads * headSize),
      queryNorm: headNorm(`${path}.q_layernorm`),
      keyNorm: headNorm(`${path}.k_layernorm`),
    }),
    mixers: (path, layer, attention) => [
      kinds[layer] === 'conv' ? mixed(`${path}.conv`) : attention(),
    ],
  };
}

/** (Configurations of before transformers 5 have the first name.) */
function widthOf(config: Config): number {
  return config.size(config.has('block_ff_dim') ? 'block_ff_dim' : 'intermediate_size');
}

/** The width that LFM2 makes of the stated one, as Llama's first code did. */
function adjustedWidth(config: Config, stated: number): number {
  if (!config.flag('block_auto_adjust_ff_dim', true)) return stated;
  const part = Math.trunc((2 * stated) / 3);
  if (config.values['block_ffn_dim_multiplier'] === null) return part;
  const multiple = config.size('block_multiple_of', 256);
  const width = Math.trunc(config.number('block_ffn_dim_multiplier', 1) * part);
  return multiple * Math.ceil(width / multiple);
}
