import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { gatedMlp, llamaDecoder, normsAt } from './llama-layers.js';
import { bambaSizes, mambaLayer } from './mamba.js';
import { readActivation, readSizes, rotaryOf } from './parts.js';

/** Bamba: Mamba 2 in most layers, attention with half of each head rotated in the others. */
export function bamba(config: Config): Decoder {
  const sizes = readSizes(config);
  const epsilon = config.number('rms_norm_eps', 1e-5);
  const attending = new Set(config.list('attn_layer_indices'));
  const activation = readActivation(config);
  if (activation !== 'silu') throw config.wrong('hidden_act', 'silu');
  const bias = config.flag('attention_bias', false);
  const mlpBias = config.flag('mlp_bias', false);
  const mamba = bambaSizes(config, sizes.hidden, epsilon);
  const rotary = rotaryOf(config, { ...sizes, part: 0.5 });
  return llamaDecoder(config.with({ rms_norm_eps: epsilon }), {
    family: 'bamba',
    sizes,
    rotary: () => rotary,
    biases: { qkv: bias, output: bias, mlp: mlpBias },
    mixers: (path, layer, attention) => [
      attending.has(layer) ? attention() : mambaLayer(`${path}.mamba`, mamba),
    ],
    norms: normsAt('input_layernorm', 'pre_ff_layernorm'),
    feedForward: (path) =>
      gatedMlp(path.replace(/mlp$/, 'feed_forward'), sizes, activation, mlpBias),
    finalNorm: 'model.final_layernorm',
  });
}
