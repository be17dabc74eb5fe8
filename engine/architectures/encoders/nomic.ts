import type { Config } from '../config.js';
import { layerNorm, linear, outputsOf, rotaryOf } from '../families/parts.js';
import { refuseClassifier } from './classifier.js';
import { type EncoderLayer, type EncoderModel, sumNormed } from './encoder.js';

/** NomicBERT (Nussbaum et al. 2024): BERT with rotations and gates, without most biases. */
export function nomicBert(stated: Config): EncoderModel {
  refuseClassifier(stated);
  const config = stated.inside({ ...renamed(stated), ...stated.values });
  assertUsual(config);
  const hidden = config.size('hidden_size');
  const table = (name: string, count: number) => ({
    name: `embeddings.${name}_embeddings.weight`,
    shape: [count, hidden],
  });
  return {
    family: 'nomic_bert',
    hiddenSize: hidden,
    embedding: {
      words: table('word', config.size('vocab_size')),
      scale: 1,
      positions: null,
      types: table('token_type', config.size('type_vocab_size', 2)),
      norm: layerNorm('emb_ln', hidden, epsilonOf(config)),
    },
    layers: Array.from({ length: config.count('num_hidden_layers') }, (_, layer) =>
      layerOf(config, layer),
    ),
    finalNorm: null,
    classifier: null,
    unread: [/^pooler\./, /^cls\./],
  };
}

/** Names of GPT-2's kind, which the first configurations have, by those of transformers. */
const OLD_NAMES = {
  hidden_size: 'n_embd',
  num_attention_heads: 'n_head',
  num_hidden_layers: 'n_layer',
  intermediate_size: 'n_inner',
  layer_norm_eps: 'layer_norm_epsilon',
  rope_theta: 'rotary_emb_base',
  partial_rotary_factor: 'rotary_emb_fraction',
} as const;

function renamed(config: Config): Record<string, unknown> {
  const pairs = Object.entries(OLD_NAMES).map(([name, old]) => [name, config.values[old]] as const);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

/** What the old configurations could say, and no published one does. */
function assertUsual(config: Config): void {
  for (const key of ['prenorm', 'causal', 'qkv_proj_bias', 'use_rms_norm', 'mlp_fc1_bias']) {
    if (config.flag(key, false)) throw config.unsupported(`${key} is true; false is supported`);
  }
  for (const [key, usual] of [
    ['activation_function', 'swiglu'],
    ['hidden_act', 'silu'],
  ]) {
    const name = config.text(key, usual);
    if (name !== usual) throw config.unsupported(`${key} is ${name}; ${usual} is supported`);
  }
}

const epsilonOf = (config: Config): number => config.number('layer_norm_eps', 1e-12);

function layerOf(config: Config, layer: number): EncoderLayer {
  const hidden = config.size('hidden_size');
  const heads = config.size('num_attention_heads');
  const inner = config.size('intermediate_size');
  const headSize = config.size('head_dim', hidden / heads);
  const path = `encoder.layers.${layer}`;
  const width = heads * headSize;
  const packed = linear(`${path}.attn.Wqkv`, 3 * width, hidden);
  const normed = (name: string) =>
    sumNormed(layerNorm(`${path}.${name}`, hidden, epsilonOf(config)));
  return {
    attention: {
      numHeads: heads,
      numKvHeads: heads,
      headSize,
      scale: headSize ** -0.5,
      reach: null,
      rotary: rotaryOf(config, { headSize, theta: 1000 }),
      query: outputsOf(packed, 0, width),
      key: outputsOf(packed, width, width),
      value: outputsOf(packed, 2 * width, width),
      output: linear(`${path}.attn.out_proj`, hidden, width),
      queryNorm: null,
      keyNorm: null,
    },
    attentionNorms: normed('norm1'),
    mlp: {
      kind: 'mlp',
      activation: 'silu',
      gate: linear(`${path}.mlp.fc12`, inner, hidden),
      up: linear(`${path}.mlp.fc11`, inner, hidden),
      down: linear(`${path}.mlp.fc2`, hidden, inner),
    },
    mlpNorms: normed('norm2'),
  };
}
