import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder, packedMlp, type Traits } from './llama-layers.js';
import { readActivation, readSizes, rmsNorm, rotaryOf } from './parts.js';

/** GLM 4 (2024) in transformers' form: half of each head rotated, in neighboring pairs. */
export function glm(config: Config): Decoder {
  return llamaDecoder(config, { family: 'glm', ...traitsOf(config) });
}

/** GLM 4 (0414): the same with norms around each block. */
export function glm4(config: Config): Decoder {
  return llamaDecoder(config, {
    family: 'glm4',
    ...traitsOf(config),
    norms: (path, norm) => ({
      attention: {
        before: norm(`${path}.input_layernorm`),
        after: norm(`${path}.post_self_attn_layernorm`),
      },
      feedForward: {
        before: norm(`${path}.post_attention_layernorm`),
        after: norm(`${path}.post_mlp_layernorm`),
      },
    }),
  });
}

function traitsOf(config: Config): Omit<Traits, 'family'> {
  const sizes = readSizes(config, 128);
  const epsilon = config.number('rms_norm_eps', 1.5625e-7);
  const activation = readActivation(config);
  const rotary = rotaryOf(config, { ...sizes, interleaved: true, part: 0.5 });
  return {
    sizes,
    biases: { qkv: config.flag('attention_bias', true), output: false, mlp: false },
    norm: (path, size) => rmsNorm(path, size, epsilon),
    rotary: () => rotary,
    feedForward: (path) => packedMlp(path, sizes, activation),
  };
}
