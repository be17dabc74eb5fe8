import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { gatedMlp, llamaDecoder, normsAt } from './llama-layers.js';
import { bambaSizes, mambaLayer } from './mamba.js';
import { readActivation, readSizes, rotaryOf } from './parts.js';

/** Falcon-H1: attention and Mamba 2 side by side in each layer, and many factors. */
export function falconH1(config: Config): Decoder {
  const sizes = readSizes(config);
  const epsilon = config.number('rms_norm_eps', 1e-5);
  const activation = readActivation(config);
  if (activation !== 'silu') throw config.wrong('hidden_act', 'silu');
  const bias = config.flag('attention_bias', false);
  const mlpBias = config.flag('mlp_bias', false);
  const rotary = rotaryOf(config, sizes);
  const inner = config.has('mamba_d_ssm') ? config.size('mamba_d_ssm') : undefined;
  const shared = bambaSizes(config, sizes.hidden, epsilon, inner);
  const hasNorm = config.flag('mamba_rms_norm', false);
  const mamba = {
    ...shared,
    bias: { input: shared.bias.input, output: config.flag('projectors_bias', false) },
    norm: hasNorm ? { beforeGate: config.flag('mamba_norm_before_gate', true) } : null,
    inputFactors: config.numbers('ssm_multipliers', 5),
  };
  const factor = (key: string): number => config.number(key, 1);
  // Without norms of keys, scores grow with a factor on the keys.
  const scale = sizes.headSize ** -0.5 * factor('key_multiplier');
  const [gateScale, downScale] = config.numbers('mlp_multipliers', 2) ?? [1, 1];
  return llamaDecoder(config.with({ rms_norm_eps: epsilon }), {
    family: 'falcon_h1',
    sizes,
    rotary: () => rotary,
    biases: { qkv: bias, output: bias, mlp: mlpBias },
    attention: () => ({ scale }),
    mixers: (path, _layer, attention) => [
      {
        ...attention(),
        inputScale: factor('attention_in_multiplier'),
        outputScale: factor('attention_out_multiplier'),
      },
      {
        ...mambaLayer(`${path}.mamba`, mamba),
        inputScale: factor('ssm_in_multiplier'),
        outputScale: factor('ssm_out_multiplier'),
      },
    ],
    norms: normsAt('input_layernorm', 'pre_ff_layernorm'),
    feedForward: (path) => ({
      ...gatedMlp(path.replace(/mlp$/, 'feed_forward'), sizes, activation, mlpBias),
      gateScale,
      downScale,
    }),
    finalNorm: 'model.final_layernorm',
    embeddingScale: factor('embedding_multiplier'),
    logitScale: factor('lm_head_multiplier'),
  });
}
