import type { Config } from '../config.js';
import type {
  Activation,
  Attention,
  BlockNorms,
  Decoder,
  DecoderLayer,
  FeedForward,
  Linear,
  Mixer,
  Mlp,
  Norm,
  Rotary,
} from '../decoder.js';
import {
  linear,
  outputsOf,
  readActivation,
  readSizes,
  rmsNorm,
  rotaryOf,
  type Sizes,
} from './parts.js';

/** In what a family differs from Llama 2. What is absent is as there. */
export interface Traits {
  readonly family: string;
  readonly sizes?: Sizes;
  /** Whether embedding and head are tied where the configuration does not say. */
  readonly tied?: boolean;
  /** Base of the rotation where the configuration states none. */
  readonly theta?: number;
  /** By layer; null for one without positions. */
  readonly rotary?: (layer: number) => Rotary | null;
  /** By layer, in tokens; 0 for all. */
  readonly window?: (layer: number) => number;
  /** Whether queries, keys and values have a bias, and whether the attention's output has. */
  readonly biases?: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean };
  readonly norm?: (path: string, size: number) => Norm;
  /** Norms of queries and keys: of each head, or of all heads together. */
  readonly headNorms?: 'head' | 'row';
  /** Where the norms of a layer stand. `norm` makes one of the hidden size. */
  readonly norms?: (path: string, norm: (path: string) => Norm) => LayerNorms;
  readonly parallel?: boolean;
  /** What mixes the tokens of a layer, of which `attention` makes the usual; absent: that alone. */
  readonly mixers?: (path: string, layer: number, attention: () => Attention) => readonly Mixer[];
  readonly activation?: Activation;
  readonly feedForward?: (path: string, layer: number) => FeedForward;
  /** What else is different in a layer. */
  readonly layer?: (path: string, layer: number) => Partial<DecoderLayer>;
  /** What else is different in a layer's attention. */
  readonly attention?: (path: string, layer: number) => Partial<Attention>;
  readonly embeddingScale?: number;
  readonly residualScale?: number;
  readonly logitScale?: number;
  readonly logitSoftcap?: number;
  /** Path of the norm before the head. */
  readonly finalNorm?: string;
  /** Weights besides that checkpoints may have and the computation does not need. */
  readonly unread?: readonly RegExp[];
}

export interface LayerNorms {
  readonly attention: BlockNorms;
  readonly feedForward: BlockNorms;
}

/** Tables of old checkpoints, which follow from the configuration. */
const TABLES = /\.rotary_emb\.inv_freq$/;

/** A decoder whose weights have the names that transformers gave Llama's. */
export function llamaDecoder(config: Config, traits: Traits): Decoder {
  const sizes = traits.sizes ?? readSizes(config);
  const { vocab, hidden } = sizes;
  const epsilon = config.number('rms_norm_eps', 1e-6);
  const norm = traits.norm ?? ((path, size) => rmsNorm(path, size, epsilon));
  const all = traits.rotary ? null : rotaryOf(config, { ...sizes, theta: traits.theta ?? 10_000 });
  const whole: Required<Traits> = {
    tied: false,
    theta: 10_000,
    rotary: () => all,
    window: () => 0,
    biases: { qkv: false, output: false, mlp: false },
    headNorms: 'head',
    norms: normsAt('input_layernorm', 'post_attention_layernorm'),
    parallel: false,
    mixers: (_path, _layer, attention) => [attention()],
    activation: traits.activation ?? readActivation(config),
    feedForward: (path) => gatedMlp(path, sizes, whole.activation, whole.biases.mlp),
    layer: () => ({}),
    attention: () => ({}),
    embeddingScale: 1,
    residualScale: 1,
    logitScale: 1,
    logitSoftcap: 0,
    finalNorm: 'model.norm',
    unread: [],
    ...traits,
    sizes,
    norm,
  };
  const embedding = { name: 'model.embed_tokens.weight', shape: [vocab, hidden] };
  const isTied = config.flag('tie_word_embeddings', whole.tied);
  const tied: Linear = { weight: embedding, bias: null, turned: true };
  return {
    family: traits.family,
    vocabSize: vocab,
    hiddenSize: hidden,
    embedding: { weight: embedding, scale: whole.embeddingScale, positions: null },
    layers: Array.from({ length: sizes.layers }, (_, layer) =>
      layerOf(layer, whole, traits.headNorms !== undefined),
    ),
    finalNorm: norm(whole.finalNorm, hidden),
    head: isTied ? tied : linear('lm_head', vocab, hidden),
    logitScale: whole.logitScale,
    logitSoftcap: whole.logitSoftcap,
    unread: [TABLES, ...whole.unread, ...(isTied ? [/^lm_head\.weight$/] : [])],
  };
}

function layerOf(layer: number, traits: Required<Traits>, hasHeadNorms: boolean): DecoderLayer {
  const path = `model.layers.${layer}`;
  const norms = traits.norms(path, (name) => traits.norm(name, traits.sizes.hidden));
  return {
    mixers: traits.mixers(path, layer, () =>
      attentionOf(`${path}.self_attn`, layer, traits, hasHeadNorms),
    ),
    feedForward: traits.feedForward(`${path}.mlp`, layer),
    mixerNorms: norms.attention,
    feedForwardNorms: norms.feedForward,
    parallel: traits.parallel,
    residualScale: traits.residualScale,
    ...traits.layer(path, layer),
  };
}

function attentionOf(
  path: string,
  layer: number,
  traits: Required<Traits>,
  hasHeadNorms: boolean,
): Attention {
  const { hidden, heads, kvHeads, headSize } = traits.sizes;
  const { biases, headNorms: of, norm } = traits;
  const widths = { q: heads * headSize, k: kvHeads * headSize, v: kvHeads * headSize };
  const projection = (part: 'q' | 'k' | 'v'): Linear =>
    linear(`${path}.${part}_proj`, widths[part], hidden, biases.qkv);
  const headNorm = (part: 'q' | 'k') =>
    hasHeadNorms
      ? { norm: norm(`${path}.${part}_norm`, of === 'head' ? headSize : widths[part]), of }
      : null;
  return {
    kind: 'attention',
    numHeads: heads,
    numKvHeads: kvHeads,
    headSize,
    scale: headSize ** -0.5,
    softcap: 0,
    slidingWindow: traits.window(layer),
    sinks: null,
    rotary: traits.rotary(layer),
    queryGrowth: null,
    projections: {
      kind: 'separate',
      query: projection('q'),
      key: projection('k'),
      value: projection('v'),
    },
    output: linear(`${path}.o_proj`, hidden, heads * headSize, biases.output),
    queryNorm: headNorm('q'),
    keyNorm: headNorm('k'),
    clip: null,
    ...traits.attention(path, layer),
  };
}

/** A gated feed-forward block under Llama's names. */
export function gatedMlp(
  path: string,
  sizes: Pick<Sizes, 'hidden' | 'inner'>,
  activation: Activation,
  hasBias = false,
): Mlp {
  return namedMlp(path, sizes, activation, LLAMA_MLP, hasBias);
}

const LLAMA_MLP = { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' };

/** A gated feed-forward block. @param names of its three layers */
export function namedMlp(
  path: string,
  { hidden, inner }: Pick<Sizes, 'hidden' | 'inner'>,
  activation: Activation,
  names: Readonly<Record<'gate' | 'up' | 'down', string>>,
  hasBias = false,
): Mlp {
  return {
    kind: 'mlp',
    activation,
    gate: linear(`${path}.${names.gate}`, inner, hidden, hasBias),
    up: linear(`${path}.${names.up}`, inner, hidden, hasBias),
    down: linear(`${path}.${names.down}`, hidden, inner, hasBias),
  };
}

/** A feed-forward block without a gate. @param names of its two layers */
export function plainMlp(
  path: string,
  { hidden, inner }: Pick<Sizes, 'hidden' | 'inner'>,
  activation: Activation,
  names: { readonly up: string; readonly down: string },
  hasBias: boolean,
): Mlp {
  return {
    kind: 'mlp',
    activation,
    gate: null,
    up: linear(`${path}.${names.up}`, inner, hidden, hasBias),
    down: linear(`${path}.${names.down}`, hidden, inner, hasBias),
  };
}

/** Gate and up as the two halves of one matrix (Phi 3, GLM, Granite 4). */
export function packedMlp(
  path: string,
  { hidden, inner }: Sizes,
  activation: Activation,
  names = { both: 'gate_up_proj', down: 'down_proj' },
): Mlp {
  const both = linear(`${path}.${names.both}`, 2 * inner, hidden);
  return {
    kind: 'mlp',
    activation,
    gate: outputsOf(both, 0, inner),
    up: outputsOf(both, inner, inner),
    down: linear(`${path}.${names.down}`, hidden, inner),
  };
}

/** A norm before each block, under these names. */
export function normsAt(mixers: string, feedForward: string): NonNullable<Traits['norms']> {
  return (path, norm) => ({
    attention: { before: norm(`${path}.${mixers}`), after: null },
    feedForward: { before: norm(`${path}.${feedForward}`), after: null },
  });
}
