import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder, plainMlp } from './llama-layers.js';
import { layerNorm, readActivation, readSizes, rotaryOf } from './parts.js';

/** Nemotron 4 and Minitron: squared ReLU, norms stored as their distance from 1. */
export function nemotron(config: Config): Decoder {
  const sizes = readSizes(config);
  const bias = config.flag('attention_bias', false);
  const mlpBias = config.flag('mlp_bias', false);
  const epsilon = config.number('norm_eps', 1e-5);
  const activation = readActivation(config, 'hidden_act', 'relu2');
  const rotary = rotaryOf(config, { ...sizes, part: 0.5 });
  return llamaDecoder(config, {
    family: 'nemotron',
    sizes,
    biases: { qkv: bias, output: bias, mlp: mlpBias },
    norm: (path, size) => ({ ...layerNorm(path, size, epsilon), offset: 1 }),
    rotary: () => rotary,
    feedForward: (path) =>
      plainMlp(path, sizes, activation, { up: 'up_proj', down: 'down_proj' }, mlpBias),
  });
}
