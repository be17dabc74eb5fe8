import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder } from './llama-layers.js';

/** Llama 2 and 3, SmolLM 2, and the many that share their form (Touvron et al. 2023). */
export function llama(config: Config): Decoder {
  const bias = config.flag('attention_bias', false);
  return llamaDecoder(config, {
    family: 'llama',
    biases: { qkv: bias, output: bias, mlp: config.flag('mlp_bias', false) },
  });
}
