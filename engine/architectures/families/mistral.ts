import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder } from './llama-layers.js';
import { readSizes, slidingLayers } from './parts.js';

/** Mistral: a window in all layers, or in none (Jiang et al. 2023). */
export function mistral(config: Config): Decoder {
  const window = config.window('sliding_window', 4096);
  return llamaDecoder(config, { family: 'mistral', window: () => window });
}

/** Ministral (8B, 2024): windows in some layers. */
export function ministral(config: Config): Decoder {
  const window = config.window('sliding_window', 4096);
  const isSliding = slidingLayers(config, config.count('num_hidden_layers'), () => window > 0);
  return llamaDecoder(config, {
    family: 'ministral',
    window: (layer) => (isSliding[layer] ? window : 0),
  });
}

/** Ministral 3 (2025): YaRN, and queries that grow with the logarithm of the position. */
export function ministral3(config: Config): Decoder {
  const window = config.window('sliding_window', 0);
  const rotation = config.inner('rope_parameters');
  if (!rotation?.has('llama_4_scaling_beta')) {
    throw config.wrong('rope_parameters', 'an object with llama_4_scaling_beta');
  }
  const queryGrowth = {
    beta: rotation.number('llama_4_scaling_beta'),
    length: rotation.size('original_max_position_embeddings'),
  };
  return llamaDecoder(config, {
    family: 'ministral3',
    sizes: readSizes(config),
    window: () => window,
    attention: () => ({ queryGrowth }),
  });
}
