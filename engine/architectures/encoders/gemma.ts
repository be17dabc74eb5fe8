import type { Config } from '../config.js';
import { bothRotations } from '../families/gemma-layers.js';
import { linear, readActivation, readSizes, rmsNorm, slidingLayers } from '../families/parts.js';
import type { Norm } from '../weights.js';
import { refuseClassifier } from './classifier.js';
import type { EncoderLayer, EncoderModel } from './encoder.js';

/** EmbeddingGemma (Google 2025): Gemma 3 whose attention sees both directions. */
export function gemmaEncoder(config: Config): EncoderModel {
  refuseClassifier(config);
  if (config.has('attn_logit_softcapping')) {
    throw config.unsupported('attn_logit_softcapping is set; encoders are served without it');
  }
  const { hidden, vocab, layers } = readSizes(config, 256);
  const pattern = config.size('_sliding_window_pattern', config.size('sliding_window_pattern', 6));
  const isSliding = slidingLayers(config, layers, (layer) => (layer + 1) % pattern !== 0);
  return {
    family: 'gemma3_text',
    hiddenSize: hidden,
    embedding: {
      words: { name: 'embed_tokens.weight', shape: [vocab, hidden] },
      scale: Math.fround(Math.sqrt(hidden)),
      positions: null,
      types: null,
      norm: null,
    },
    layers: isSliding.map((slides, layer) => layerOf(config, layer, slides)),
    finalNorm: normOf(config, 'norm', hidden),
    classifier: null,
    unread: [/^lm_head\./],
  };
}

const normOf = (config: Config, path: string, size: number): Norm =>
  rmsNorm(path, size, config.number('rms_norm_eps', 1e-6), 1);

function layerOf(config: Config, layer: number, slides: boolean): EncoderLayer {
  const sizes = readSizes(config, 256);
  const { hidden, heads, kvHeads, headSize, inner } = sizes;
  const path = `layers.${layer}`;
  const hasBias = config.flag('attention_bias', false);
  const { sliding, full } = bothRotations(config, sizes);
  const self = (part: string, outputs: number, inputs: number) =>
    linear(`${path}.self_attn.${part}`, outputs, inputs, hasBias);
  const norms = (before: string, after: string) => ({
    before: normOf(config, `${path}.${before}_layernorm`, hidden),
    after: normOf(config, `${path}.${after}_layernorm`, hidden),
    sum: null,
  });
  return {
    attention: {
      numHeads: heads,
      numKvHeads: kvHeads,
      headSize,
      scale: config.number('query_pre_attn_scalar', 256) ** -0.5,
      // The window counts both sides.
      reach: slides ? Math.floor(config.size('sliding_window', 4096) / 2) : null,
      rotary: slides ? sliding : full,
      query: self('q_proj', heads * headSize, hidden),
      key: self('k_proj', kvHeads * headSize, hidden),
      value: self('v_proj', kvHeads * headSize, hidden),
      output: self('o_proj', hidden, heads * headSize),
      queryNorm: normOf(config, `${path}.self_attn.q_norm`, headSize),
      keyNorm: normOf(config, `${path}.self_attn.k_norm`, headSize),
    },
    attentionNorms: norms('input', 'post_attention'),
    mlp: {
      kind: 'mlp',
      activation: readActivation(config, 'hidden_activation', 'gelu_pytorch_tanh'),
      gate: linear(`${path}.mlp.gate_proj`, inner, hidden),
      up: linear(`${path}.mlp.up_proj`, inner, hidden),
      down: linear(`${path}.mlp.down_proj`, hidden, inner),
    },
    mlpNorms: norms('pre_feedforward', 'post_feedforward'),
  };
}
