import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder } from './llama-layers.js';
import { layerNorm, linear, readActivation, readSizes } from './parts.js';

/** StarCoder 2: layer norms, biases, no gate (Lozhkov et al. 2024). */
export function starcoder2(config: Config): Decoder {
  const sizes = readSizes(config);
  const { hidden, inner } = sizes;
  const bias = config.flag('use_bias', true);
  const epsilon = config.number('norm_epsilon', 1e-5);
  const window = config.window('sliding_window', 0);
  const activation = readActivation(config, 'hidden_act', 'gelu_pytorch_tanh');
  return llamaDecoder(config, {
    family: 'starcoder2',
    sizes,
    tied: true,
    biases: { qkv: bias, output: bias, mlp: bias },
    norm: (path, size) => layerNorm(path, size, epsilon),
    window: () => window,
    feedForward: (path) => ({
      kind: 'mlp',
      activation,
      gate: null,
      up: linear(`${path}.c_fc`, inner, hidden, bias),
      down: linear(`${path}.c_proj`, hidden, inner, bias),
    }),
  });
}
