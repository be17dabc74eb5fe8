import type { Config } from '../config.js';
import type { Decoder, Norm } from '../decoder.js';
import { type LayerNorms, llamaDecoder, type Traits } from './llama-layers.js';
import { readSizes, rmsNorm, rotaryOf, slidingLayers } from './parts.js';

/** OLMo: norms without weights (Groeneveld et al. 2024). */
export function olmo(config: Config): Decoder {
  const bias = config.flag('attention_bias', false);
  const clip = config.has('clip_qkv') ? config.number('clip_qkv') : null;
  return llamaDecoder(config, {
    family: 'olmo',
    biases: { qkv: bias, output: bias, mlp: false },
    norm: (_, size) => ({
      kind: 'layer',
      size,
      weight: null,
      bias: null,
      offset: 0,
      epsilon: 1e-5,
    }),
    attention: () => ({ clip }),
  });
}

/** OLMo 2: norms behind each block, and of all queries and keys (OLMo team 2024). */
export function olmo2(config: Config): Decoder {
  return llamaDecoder(config, { family: 'olmo2', ...traitsOf(config) });
}

/** OLMo 3: windows in three of four layers, whose rotation is not scaled. */
export function olmo3(config: Config): Decoder {
  const sizes = readSizes(config);
  const window = config.window('sliding_window', 4096);
  const isSliding = slidingLayers(config, sizes.layers, (layer) => (layer + 1) % 4 !== 0);
  const options = { ...sizes, theta: 500_000 };
  const full = rotaryOf(config, options, 'full_attention');
  const unscaled = config.inner('rope_parameters') ? config : config.with({ rope_scaling: null });
  const sliding = rotaryOf(unscaled, options, 'sliding_attention');
  return llamaDecoder(config, {
    family: 'olmo3',
    ...traitsOf(config),
    window: (layer) => (isSliding[layer] ? window : 0),
    rotary: (layer) => (isSliding[layer] ? sliding : full),
  });
}

function traitsOf(config: Config): Omit<Traits, 'family'> {
  const bias = config.flag('attention_bias', false);
  const epsilon = config.number('rms_norm_eps', 1e-5);
  return {
    biases: { qkv: bias, output: bias, mlp: false },
    norm: (path, size) => rmsNorm(path, size, epsilon),
    headNorms: 'row',
    norms: normsAfter,
  };
}

function normsAfter(path: string, norm: (name: string) => Norm): LayerNorms {
  return {
    attention: { before: null, after: norm(`${path}.post_attention_layernorm`) },
    feedForward: { before: null, after: norm(`${path}.post_feedforward_layernorm`) },
  };
}
