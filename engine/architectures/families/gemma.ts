import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { bothRotations, normsAround } from './gemma-layers.js';
import { llamaDecoder, type Traits } from './llama-layers.js';
import { readActivation, readSizes, rmsNorm, type Sizes, slidingLayers } from './parts.js';

/** Gemma: weights of norms are stored as their distance from 1 (Gemma team 2024). */
export function gemma(config: Config): Decoder {
  // An old value of the official configurations, which means the approximation.
  const isOld = config.text('hidden_act', 'gelu') === 'gelu';
  const activation = isOld ? 'gelu-tanh' : readActivation(config);
  return llamaDecoder(config, { family: 'gemma', ...traitsOf(config), activation });
}

/** Gemma 2: norms around each block, softcaps, windows in every other layer. */
export function gemma2(config: Config): Decoder {
  const traits = traitsOf(config);
  const window = config.window('sliding_window', 4096);
  const isSliding = slidingLayers(config, traits.sizes.layers, (layer) => layer % 2 === 0);
  return llamaDecoder(config, {
    family: 'gemma2',
    ...traits,
    ...aroundBlocks(config, { attention: 50, logits: 30 }),
    window: (layer) => (isSliding[layer] ? window : 0),
  });
}

/** What configurations of Gemma 3 leave out, as the published ones with images do. */
const GEMMA3 = {
  vocab_size: 262_208,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
};

/** Gemma 3, its text: norms of queries and keys, two rotations, five windows to one full layer. */
export function gemma3(stated: Config): Decoder {
  const config = stated.inside({ ...GEMMA3, ...stated.values });
  const traits = traitsOf(config);
  const { layers } = traits.sizes;
  const window = config.window('sliding_window', 4096);
  const pattern = config.size('sliding_window_pattern', 6);
  const isSliding = slidingLayers(config, layers, (layer) => (layer + 1) % pattern !== 0);
  const { sliding, full } = bothRotations(config, traits.sizes);
  return llamaDecoder(config, {
    family: 'gemma3',
    ...traits,
    ...aroundBlocks(config, { attention: 0, logits: 0 }),
    headNorms: 'head',
    window: (layer) => (isSliding[layer] ? window : 0),
    rotary: (layer) => (isSliding[layer] ? sliding : full),
  });
}

function traitsOf(config: Config): Omit<Traits, 'family'> & { readonly sizes: Sizes } {
  if (config.flag('use_bidirectional_attention', false)) {
    throw config.unsupported(
      'use_bidirectional_attention is true; only causal attention is served',
    );
  }
  const sizes = readSizes(config, 256);
  const epsilon = config.number('rms_norm_eps', 1e-6);
  const bias = config.flag('attention_bias', false);
  return {
    sizes,
    tied: true,
    biases: { qkv: bias, output: bias, mlp: false },
    norm: (path, size) => rmsNorm(path, size, epsilon, 1),
    activation: readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh'),
    embeddingScale: Math.fround(Math.sqrt(sizes.hidden)),
  };
}

function aroundBlocks(
  config: Config,
  softcaps: { readonly attention: number; readonly logits: number },
): Pick<Traits, 'norms' | 'attention' | 'logitSoftcap'> {
  const scale = config.number('query_pre_attn_scalar', 256) ** -0.5;
  const softcap = config.window('attn_logit_softcapping', softcaps.attention);
  return {
    norms: (path, norm) => normsAround(path, norm),
    attention: () => ({ scale, softcap }),
    logitSoftcap: config.window('final_logit_softcapping', softcaps.logits),
  };
}
