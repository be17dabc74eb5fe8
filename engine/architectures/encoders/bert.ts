import type { Config } from '../config.js';
import { layerNorm, linear, readActivation, readSizes } from '../families/parts.js';
import type { Weight } from '../weights.js';
import { isClassifier, labelsOf } from './classifier.js';
import { type Classifier, type EncoderLayer, type EncoderModel, sumNormed } from './encoder.js';

/** BERT (Devlin et al. 2018), as MiniLM, bge, e5 and gte are. */
export function bert(config: Config): EncoderModel {
  return bertLike(config, 'bert', 0, (hidden, labels) => ({
    dense: linear('pooler.dense', hidden, hidden, true),
    activation: 'tanh',
    norm: null,
    labels: linear('classifier', labels, hidden, true),
  }));
}

/** RoBERTa (Liu et al. 2019) and XLM-RoBERTa: positions begin behind the padding token's. */
export function roberta(config: Config): EncoderModel {
  const first = config.number('pad_token_id', 1) + 1;
  return bertLike(config, 'roberta', first, (hidden, labels) => ({
    dense: linear('classifier.dense', hidden, hidden, true),
    activation: 'tanh',
    norm: null,
    labels: linear('classifier.out_proj', labels, hidden, true),
  }));
}

function bertLike(
  config: Config,
  family: string,
  firstPosition: number,
  classifierOf: (hidden: number, labels: number) => Classifier,
): EncoderModel {
  if (config.flag('is_decoder', false)) {
    throw config.unsupported('is_decoder is true; its attention would be causal');
  }
  const kind = config.text('position_embedding_type', 'absolute');
  if (kind !== 'absolute') {
    throw config.unsupported(`position_embedding_type is ${kind}; absolute is supported`);
  }
  const { hidden, vocab, layers } = readSizes(config);
  const table = (name: string, count: number): Weight => ({
    name: `embeddings.${name}_embeddings.weight`,
    shape: [count, hidden],
  });
  const positions = config.size('max_position_embeddings', 512);
  const classifier = isClassifier(config) ? classifierOf(hidden, labelsOf(config)) : null;
  return {
    family,
    hiddenSize: hidden,
    embedding: {
      words: table('word', vocab),
      scale: 1,
      positions: { weight: table('position', positions), first: firstPosition },
      types: table('token_type', config.size('type_vocab_size', 2)),
      norm: layerNorm('embeddings.LayerNorm', hidden, epsilonOf(config)),
    },
    layers: Array.from({ length: layers }, (_, layer) => layerOf(config, layer)),
    finalNorm: null,
    classifier,
    // Heads of the training, and the pooler where nothing is classified.
    unread: [/^embeddings\.position_ids$/, /^pooler\./, /^cls\./, /^lm_head\./],
  };
}

const epsilonOf = (config: Config): number => config.number('layer_norm_eps', 1e-12);

function layerOf(config: Config, layer: number): EncoderLayer {
  const { hidden, heads, headSize, inner } = readSizes(config);
  const path = `encoder.layer.${layer}`;
  const self = (part: string) => linear(`${path}.attention.self.${part}`, hidden, hidden, true);
  const normed = (place: string) =>
    sumNormed(layerNorm(`${path}.${place}.LayerNorm`, hidden, epsilonOf(config)));
  return {
    attention: {
      numHeads: heads,
      numKvHeads: heads,
      headSize,
      scale: headSize ** -0.5,
      reach: null,
      rotary: null,
      query: self('query'),
      key: self('key'),
      value: self('value'),
      output: linear(`${path}.attention.output.dense`, hidden, hidden, true),
      queryNorm: null,
      keyNorm: null,
    },
    attentionNorms: normed('attention.output'),
    mlp: {
      kind: 'mlp',
      activation: readActivation(config, 'hidden_act', 'gelu'),
      gate: null,
      up: linear(`${path}.intermediate.dense`, inner, hidden, true),
      down: linear(`${path}.output.dense`, hidden, inner, true),
    },
    mlpNorms: normed('output'),
  };
}
