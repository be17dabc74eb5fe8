import type { Config } from '../config.js';
import type { Decoder, DecoderLayer, Linear } from '../decoder.js';
import { layerNorm, linear, readActivation } from './parts.js';

/** GPT-2: learned positions, matrices stored as `[inputs, outputs]` (Radford et al. 2019). */
export function gpt2(config: Config): Decoder {
  const hidden = config.size('n_embd');
  const vocab = config.size('vocab_size');
  const embedding = { name: 'wte.weight', shape: [vocab, hidden] };
  const isTied = config.flag('tie_word_embeddings', true);
  if (config.flag('add_cross_attention', false)) {
    throw config.unsupported('add_cross_attention is true; models with an encoder are not served');
  }
  return {
    family: 'gpt2',
    vocabSize: vocab,
    hiddenSize: hidden,
    embedding: {
      weight: embedding,
      scale: 1,
      positions: { name: 'wpe.weight', shape: [config.size('n_positions'), hidden] },
    },
    layers: Array.from({ length: config.count('n_layer') }, (_, layer) => layerOf(config, layer)),
    finalNorm: layerNorm('ln_f', hidden, config.number('layer_norm_epsilon', 1e-5)),
    head: isTied
      ? { weight: embedding, bias: null, turned: true }
      : linear('lm_head', vocab, hidden),
    logitScale: 1,
    logitSoftcap: 0,
    // Masks of old checkpoints.
    unread: [/\.attn\.(masked_)?bias$/, ...(isTied ? [/^lm_head\.weight$/] : [])],
  };
}

function layerOf(config: Config, layer: number): DecoderLayer {
  const hidden = config.size('n_embd');
  const inner = config.size('n_inner', 4 * hidden);
  const heads = config.size('n_head');
  const headSize = hidden / heads;
  if (!Number.isInteger(headSize)) throw config.wrong('n_head', `a divisor of ${hidden}`);
  const epsilon = config.number('layer_norm_epsilon', 1e-5);
  const path = `h.${layer}`;
  const usual = config.flag('scale_attn_weights', true) ? headSize ** -0.5 : 1;
  const byLayer = config.flag('scale_attn_by_inverse_layer_idx', false) ? layer + 1 : 1;
  return {
    mixers: [
      {
        kind: 'attention',
        numHeads: heads,
        numKvHeads: heads,
        headSize,
        scale: usual / byLayer,
        softcap: 0,
        slidingWindow: 0,
        sinks: null,
        rotary: null,
        queryGrowth: null,
        projections: {
          kind: 'packed',
          linear: plain(`${path}.attn.c_attn`, hidden, 3 * hidden),
          order: 'parts',
        },
        output: plain(`${path}.attn.c_proj`, hidden, hidden),
        queryNorm: null,
        keyNorm: null,
        clip: null,
      },
    ],
    feedForward: {
      kind: 'mlp',
      activation: readActivation(config, 'activation_function', 'gelu_new'),
      gate: null,
      up: plain(`${path}.mlp.c_fc`, hidden, inner),
      down: plain(`${path}.mlp.c_proj`, inner, hidden),
    },
    mixerNorms: { before: layerNorm(`${path}.ln_1`, hidden, epsilon), after: null },
    feedForwardNorms: { before: layerNorm(`${path}.ln_2`, hidden, epsilon), after: null },
    parallel: false,
    residualScale: 1,
  };
}

function plain(path: string, inputs: number, outputs: number): Linear {
  return {
    weight: { name: `${path}.weight`, shape: [inputs, outputs] },
    bias: { name: `${path}.bias`, shape: [outputs] },
    turned: false,
  };
}
