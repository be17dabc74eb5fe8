import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder, plainMlp } from './llama-layers.js';
import { layerNorm, linear, readActivation, readSizes, rotaryOf } from './parts.js';

/** Phi 1, 1.5 and 2: one norm for both blocks, side by side; biases everywhere. */
export function phi(config: Config): Decoder {
  if (config.flag('qk_layernorm', false)) {
    throw config.unsupported('qk_layernorm is true; no published checkpoint of the family has it');
  }
  const sizes = readSizes(config);
  const { hidden, vocab, heads, headSize } = sizes;
  const epsilon = config.number('layer_norm_eps', 1e-5);
  const activation = readActivation(config, 'hidden_act', 'gelu_new');
  const rotary = rotaryOf(config, { ...sizes, part: 0.5 });
  const decoder = llamaDecoder(config, {
    family: 'phi',
    sizes,
    biases: { qkv: true, output: true, mlp: true },
    norm: (path, size) => layerNorm(path, size, epsilon),
    parallel: true,
    norms: (path, norm) => {
      const both = { before: norm(`${path}.input_layernorm`), after: null };
      return { attention: both, feedForward: both };
    },
    rotary: () => rotary,
    attention: (path) => ({ output: linear(`${path}.dense`, hidden, heads * headSize, true) }),
    feedForward: (path) => plainMlp(path, sizes, activation, { up: 'fc1', down: 'fc2' }, true),
  });
  return {
    ...decoder,
    finalNorm: layerNorm('model.final_layernorm', hidden, epsilon),
    head: linear('lm_head', vocab, hidden, true),
  };
}
