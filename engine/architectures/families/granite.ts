import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder } from './llama-layers.js';

/** Granite 3 and 4, the dense ones: factors on embedding, scores, residuals and logits. */
export function granite(config: Config): Decoder {
  const bias = config.flag('attention_bias', false);
  const scale = config.number('attention_multiplier', 1);
  return llamaDecoder(config, {
    family: 'granite',
    biases: { qkv: bias, output: bias, mlp: config.flag('mlp_bias', false) },
    attention: () => ({ scale }),
    embeddingScale: config.number('embedding_multiplier', 1),
    residualScale: config.number('residual_multiplier', 1),
    logitScale: 1 / config.number('logits_scaling', 1),
  });
}
