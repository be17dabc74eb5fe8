import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder, plainMlp } from './llama-layers.js';
import { layerNorm, readActivation, readSizes } from './parts.js';

/** StarCoder 2: layer norms, biases, no gate (Lozhkov et al. 2024). */
export function starcoder2(config: Config): Decoder {
  const sizes = readSizes(config);
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
    feedForward: (path) => plainMlp(path, sizes, activation, { up: 'c_fc', down: 'c_proj' }, bias),
  });
}
