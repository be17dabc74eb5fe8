import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder, type Traits } from './llama-layers.js';
import { layerNorm, readSizes, rotaryOf, type Sizes, slidingLayers } from './parts.js';

/** Command R: attention and feed-forward of the same norm, side by side. */
export function cohere(config: Config): Decoder {
  if (config.flag('use_qk_norm', false)) {
    throw config.unsupported('use_qk_norm is true; norms of a width for each head are not served');
  }
  const sizes = readSizes(config);
  const rotary = rotaryOf(config, { ...sizes, interleaved: true, theta: 500_000 });
  return llamaDecoder(config, {
    family: 'cohere',
    ...traitsOf(config, sizes),
    rotary: () => rotary,
  });
}

/** Command R7B and A: windows in three of four layers, no positions in the fourth. */
export function cohere2(config: Config): Decoder {
  const sizes = readSizes(config);
  const window = config.window('sliding_window', 4096);
  const pattern = config.size('sliding_window_pattern', 4);
  const isSliding = slidingLayers(config, sizes.layers, (layer) => (layer + 1) % pattern !== 0);
  const rotary = rotaryOf(config, { ...sizes, interleaved: true });
  return llamaDecoder(config, {
    family: 'cohere2',
    ...traitsOf(config, sizes),
    window: (layer) => (isSliding[layer] ? window : 0),
    rotary: (layer) => (isSliding[layer] ? rotary : null),
  });
}

function traitsOf(config: Config, sizes: Sizes): Omit<Traits, 'family'> {
  const bias = config.flag('attention_bias', false);
  const epsilon = config.number('layer_norm_eps', 1e-5);
  return {
    sizes,
    tied: true,
    biases: { qkv: bias, output: bias, mlp: false },
    norm: (path, size) => layerNorm(path, size, epsilon, false),
    parallel: true,
    norms: (path, norm) => {
      const both = { before: norm(`${path}.input_layernorm`), after: null };
      return { attention: both, feedForward: both };
    },
    logitScale: config.number('logit_scale', 0.0625),
  };
}
