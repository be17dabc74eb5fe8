import type { Config } from '../config.js';
import type { Activation, Decoder } from '../decoder.js';
import { llamaDecoder } from './llama-layers.js';
import { linear, readActivation, readSizes } from './parts.js';

/** Apertus: norms of queries and keys, and an activation with weights of its own, xIELU. */
export function apertus(config: Config): Decoder {
  const sizes = readSizes(config);
  const { hidden, inner } = sizes;
  const bias = config.flag('attention_bias', false);
  const isUsual = config.text('hidden_act', 'xielu') === 'xielu';
  const activation = (path: string): Activation =>
    isUsual
      ? {
          kind: 'xielu',
          positive: { name: `${path}.act_fn.alpha_p`, shape: [1] },
          negative: { name: `${path}.act_fn.alpha_n`, shape: [1] },
          beta: 0.5,
          epsilon: -1e-6,
        }
      : readActivation(config);
  const decoder = llamaDecoder(config, {
    family: 'apertus',
    sizes,
    theta: 12_000_000,
    biases: { qkv: bias, output: bias, mlp: false },
    headNorms: 'head',
    activation: 'relu2',
    norms: (path, norm) => ({
      attention: { before: norm(`${path}.attention_layernorm`), after: null },
      feedForward: { before: norm(`${path}.feedforward_layernorm`), after: null },
    }),
    feedForward: (path) => ({
      kind: 'mlp',
      activation: activation(path),
      gate: null,
      up: linear(`${path}.up_proj`, inner, hidden),
      down: linear(`${path}.down_proj`, hidden, inner),
    }),
  });
  // Stored, but the same in all checkpoints.
  return { ...decoder, unread: [...decoder.unread, /\.act_fn\.(beta|eps)$/] };
}
