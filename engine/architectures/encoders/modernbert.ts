import type { Config } from '../config.js';
import type { Rotary } from '../decoder.js';
import {
  layerKinds,
  layerNorm,
  linear,
  outputsOf,
  readActivation,
  readSizes,
  type Sizes,
} from '../families/parts.js';
import { readRotary } from '../rotary.js';
import type { Norm } from '../weights.js';
import { isClassifier, labelsOf } from './classifier.js';
import type { Classifier, EncoderLayer, EncoderModel } from './encoder.js';

const [FULL, SLIDING] = ['full_attention', 'sliding_attention'] as const;

/** ModernBERT (Warner et al. 2024): rotations, norms before blocks, windows in most layers. */
export function modernBert(config: Config): EncoderModel {
  const sizes = readSizes(config);
  const { hidden, vocab, layers } = sizes;
  const every = config.size('global_attn_every_n_layers', 3);
  const kinds = layerKinds(config, layers, ['layer_types'], [FULL, SLIDING]);
  const all: Parts = {
    config,
    sizes,
    rotary: {
      [FULL]: rotaryOf(config, FULL, 'global_rope_theta', 160_000),
      [SLIDING]: rotaryOf(config, SLIDING, 'local_rope_theta', 10_000),
    },
  };
  return {
    family: 'modernbert',
    hiddenSize: hidden,
    embedding: {
      words: { name: 'embeddings.tok_embeddings.weight', shape: [vocab, hidden] },
      scale: 1,
      positions: null,
      types: null,
      norm: normOf(config, 'embeddings.norm'),
    },
    layers: Array.from({ length: layers }, (_, layer) => {
      const kind = kinds ? kinds[layer] : layer % every === 0 ? FULL : SLIDING;
      return layerOf(all, layer, kind);
    }),
    finalNorm: normOf(config, 'final_norm'),
    classifier: isClassifier(config) ? classifierOf(config, hidden) : null,
    // Heads of the training.
    unread: [/^head\./, /^decoder\./],
  };
}

interface Parts {
  readonly config: Config;
  readonly sizes: Sizes;
  readonly rotary: Readonly<Record<typeof FULL | typeof SLIDING, Rotary>>;
}

function rotaryOf(config: Config, kind: string, oldKey: string, otherwise: number): Rotary {
  const { headSize } = readSizes(config);
  const stated = config.inner('rope_parameters')?.inner(kind) ?? config.inside({});
  return readRotary(config, stated, { headSize, theta: config.number(oldKey, otherwise) });
}

function normOf(config: Config, path: string): Norm {
  const hasBias = config.flag('norm_bias', false);
  return layerNorm(path, config.size('hidden_size'), config.number('norm_eps', 1e-5), hasBias);
}

function layerOf(all: Parts, layer: number, kind: typeof FULL | typeof SLIDING): EncoderLayer {
  const { config, sizes, rotary } = all;
  const { hidden, heads, headSize, inner } = sizes;
  const path = `layers.${layer}`;
  const hasBias = config.flag('attention_bias', false);
  const mlpBias = config.flag('mlp_bias', false);
  const packed = linear(`${path}.attn.Wqkv`, 3 * hidden, hidden, hasBias);
  const both = linear(`${path}.mlp.Wi`, 2 * inner, hidden, mlpBias);
  const before = (name: string, isLeftOut = false) => ({
    before: isLeftOut ? null : normOf(config, `${path}.${name}`),
    after: null,
    sum: null,
  });
  return {
    attention: {
      numHeads: heads,
      numKvHeads: heads,
      headSize,
      scale: headSize ** -0.5,
      reach: kind === SLIDING ? Math.floor(config.size('local_attention', 128) / 2) : null,
      rotary: rotary[kind],
      query: outputsOf(packed, 0, hidden),
      key: outputsOf(packed, hidden, hidden),
      value: outputsOf(packed, 2 * hidden, hidden),
      output: linear(`${path}.attn.Wo`, hidden, hidden, hasBias),
      queryNorm: null,
      keyNorm: null,
    },
    // The embedding is normed already.
    attentionNorms: before('attn_norm', layer === 0),
    mlp: {
      kind: 'mlp',
      activation: readActivation(config, 'hidden_activation', 'gelu'),
      gate: outputsOf(both, 0, inner),
      up: outputsOf(both, inner, inner),
      down: linear(`${path}.mlp.Wo`, hidden, inner, mlpBias),
    },
    mlpNorms: before('mlp_norm'),
  };
}

function classifierOf(config: Config, hidden: number): Classifier {
  const pooling = config.text('classifier_pooling', 'cls');
  if (pooling !== 'cls') {
    throw config.unsupported(`classifier_pooling is ${pooling}; cls is supported`);
  }
  return {
    dense: linear('head.dense', hidden, hidden, config.flag('classifier_bias', false)),
    activation: readActivation(config, 'classifier_activation', 'gelu'),
    norm: normOf(config, 'head.norm'),
    labels: linear('classifier', labelsOf(config), hidden, true),
  };
}
