import type { Config } from '../config.js';
import type { Decoder, DecoderLayer, Rotary } from '../decoder.js';
import { plainMlp } from './llama-layers.js';
import { layerNorm, linear, readActivation, readSizes, rotaryOf, type Sizes } from './parts.js';

/** GPT-NeoX and Pythia: a quarter of each head rotated, blocks side by side (Black et al. 2022). */
export function gptNeox(config: Config): Decoder {
  const sizes = readSizes(config);
  const { vocab, hidden, layers } = sizes;
  const rotary = rotaryOf(config, {
    headSize: sizes.headSize,
    part: config.number('rotary_pct', 0.25),
    theta: config.number('rotary_emb_base', 10_000),
  });
  const embedding = { name: 'gpt_neox.embed_in.weight', shape: [vocab, hidden] };
  const isTied = config.flag('tie_word_embeddings', false);
  return {
    family: 'gpt_neox',
    vocabSize: vocab,
    hiddenSize: hidden,
    embedding: { weight: embedding, scale: 1, positions: null },
    layers: Array.from({ length: layers }, (_, layer) => layerOf(config, layer, sizes, rotary)),
    finalNorm: layerNorm('gpt_neox.final_layer_norm', hidden, epsilonOf(config)),
    head: isTied
      ? { weight: embedding, bias: null, turned: true }
      : linear('embed_out', vocab, hidden),
    logitScale: 1,
    logitSoftcap: 0,
    // Masks and tables of old checkpoints.
    unread: [/\.attention\.(masked_)?bias$/, /\.rotary_emb\.inv_freq$/],
  };
}

function epsilonOf(config: Config): number {
  return config.number('layer_norm_eps', 1e-5);
}

function layerOf(config: Config, layer: number, sizes: Sizes, rotary: Rotary): DecoderLayer {
  const { hidden, heads, headSize, inner } = sizes;
  const path = `gpt_neox.layers.${layer}`;
  const bias = config.flag('attention_bias', true);
  const norm = (name: string) => ({
    before: layerNorm(`${path}.${name}`, hidden, epsilonOf(config)),
    after: null,
  });
  return {
    mixers: [
      {
        kind: 'attention',
        numHeads: heads,
        numKvHeads: heads,
        headSize,
        scale: headSize ** -0.5,
        softcap: 0,
        slidingWindow: 0,
        sinks: null,
        rotary,
        queryGrowth: null,
        projections: {
          kind: 'packed',
          linear: linear(`${path}.attention.query_key_value`, 3 * hidden, hidden, bias),
          order: 'heads',
        },
        output: linear(`${path}.attention.dense`, hidden, hidden, bias),
        queryNorm: null,
        keyNorm: null,
        clip: null,
      },
    ],
    feedForward: plainMlp(
      `${path}.mlp`,
      { hidden, inner },
      readActivation(config, 'hidden_act', 'gelu'),
      { up: 'dense_h_to_4h', down: 'dense_4h_to_h' },
      true,
    ),
    mixerNorms: norm('input_layernorm'),
    feedForwardNorms: norm('post_attention_layernorm'),
    parallel: config.flag('use_parallel_residual', true),
    residualScale: 1,
  };
}
