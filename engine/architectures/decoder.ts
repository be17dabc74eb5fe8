import type { FeedForward } from './feed-forward.js';
import type { LayerInput, LayerInputs } from './layer-inputs.js';
import type { StateLayer } from './state-layers.js';
import type { Laurel, LayerStreams, Streams } from './streams.js';
import type { BlockNorms, Linear, Norm, Weight } from './weights.js';

export type { Activation, Xielu } from './activation.js';
export type {
  ClampedMlp,
  Experts,
  FeedForward,
  Mlp,
  MlpAndExperts,
  Router,
} from './feed-forward.js';
export type { LayerInput, LayerInputs } from './layer-inputs.js';
export type {
  Convolution,
  DeltaNet,
  DeltaProjections,
  Fading,
  GatedConvolution,
  Mamba,
  StateLayer,
} from './state-layers.js';
export type { Laurel, LayerStreams, Streams } from './streams.js';
export type { BlockNorms, Linear, Norm, Weight } from './weights.js';

/**
 * A decoder as data: everything that its computation depends on, and the names of its weights. A
 * family (`families/`) makes one of a configuration; a builder (`build/`) makes the engine's graph
 * of it. Whatever names the same weights and states the same numbers may describe a decoder:
 * config.json beside safetensors, or the metadata of another format.
 */
export interface Decoder {
  /** As the configuration names it, e.g. `llama`. */
  readonly family: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly embedding: Embedding;
  /** What layers read besides their input; absent: nothing. */
  readonly layerInputs?: LayerInputs;
  /** The vectors that a token has between layers, which say what they do to them; absent: one. */
  readonly streams?: Streams;
  readonly layers: readonly DecoderLayer[];
  readonly finalNorm: Norm;
  /** Its weight is the embedding's where the two are tied. */
  readonly head: Linear;
  /** Factor on the logits, before their softcap. */
  readonly logitScale: number;
  /** Logits become `softcap * tanh(logit / softcap)`; 0 turns it off. */
  readonly logitSoftcap: number;
  /** Weights that checkpoints of the family may have and the computation does not need. */
  readonly unread: readonly RegExp[];
}

export interface Embedding {
  /** `[vocabSize, hiddenSize]` */
  readonly weight: Weight;
  /** Factor on what is looked up. */
  readonly scale: number;
  /**
   * A learned vector for each position, which is added: `[positions, hiddenSize]`; null without.
   */
  readonly positions: Weight | null;
}

/**
 * One layer. With x its input, each block f computes `after(f(before(x)))`, times `residualScale`:
 *
 *     sequential    y = x + mixers(x), then y + feedForward(y)
 *     parallel      x + mixers(x) + feedForward(x)
 */
export interface DecoderLayer {
  /**
   * What mixes tokens: one, or several side by side, whose results are summed; none in a layer that
   * is a feed-forward block alone.
   */
  readonly mixers: readonly Mixer[];
  readonly feedForward: FeedForward | null;
  readonly mixerNorms: BlockNorms;
  readonly feedForwardNorms: BlockNorms;
  readonly parallel: boolean;
  readonly residualScale: number;
  /** Beside attention; absent: nothing. */
  readonly laurel?: Laurel;
  /** Present where the decoder has streams. */
  readonly streams?: LayerStreams;
  /**
   * A last block, which reads the layer's part of `Decoder.layerInputs`; absent: none. Of streams,
   * it reads the active one, and its result is added to all but the first.
   */
  readonly layerInput?: LayerInput;
  /** `[1]`: factor on the layer's output; absent: 1. */
  readonly outputScale?: Weight;
}

/** Factors on what goes in and what comes out; absent: 1. */
export type Mixer = (Attention | StateLayer) & {
  readonly inputScale?: number;
  readonly outputScale?: number;
};

export interface Attention {
  readonly kind: 'attention';
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
  /** The following four: see `AttentionShape`. */
  readonly scale: number;
  readonly softcap: number;
  readonly slidingWindow: number;
  /** `[numHeads]` */
  readonly sinks: Weight | null;
  /** Null for a layer without positions. */
  readonly rotary: Rotary | null;
  /**
   * Queries are multiplied by `1 + beta * ln(1 + floor(position / length))`; null: they are not.
   */
  readonly queryGrowth: { readonly beta: number; readonly length: number } | null;
  readonly projections: Projections;
  readonly output: Linear;
  readonly queryNorm: HeadNorm | null;
  readonly keyNorm: HeadNorm | null;
  /** Absent: values are not normed. */
  readonly valueNorm?: HeadNorm;
  /** Queries, keys and values are cut to `[-clip, clip]`; null: they are not. */
  readonly clip: number | null;
}

/** How queries, keys and values are made. */
export type Projections =
  | {
      readonly kind: 'separate';
      readonly query: Linear;
      readonly key: Linear;
      readonly value: Linear;
    }
  | {
      readonly kind: 'packed';
      readonly linear: Linear;
      /**
       * All queries, then all keys, then all values; or these three for one head after the other.
       */
      readonly order: 'parts' | 'heads';
    }
  | {
      readonly kind: 'gated';
      /** For each head: its query, then its gate g; the head's result is times sigmoid(g). */
      readonly queryGate: Linear;
      readonly key: Linear;
      readonly value: Linear;
    }
  | {
      readonly kind: 'query';
      readonly query: Linear;
      /** The earlier layer whose keys and values are read. */
      readonly keysOf: number;
    };

/** A norm of queries or keys: of each head by itself, or of all heads together. */
export interface HeadNorm {
  readonly norm: Norm;
  readonly of: 'head' | 'row';
}

/** Rotary position embedding (Su et al. 2021, RoFormer), its scaling resolved. */
export interface Rotary {
  /** Number of leading floats of each head that are rotated; even. */
  readonly dim: number;
  /** True: pairs are (0, 1), (2, 3), ...; false: pairs are (i, i + dim / 2). */
  readonly interleaved: boolean;
  /** `[dim / 2]`: radians that a pair turns from one position to the next. */
  readonly frequencies: Float32Array;
  /** Those of all tokens of sequences that are longer than `beyond` tokens; null: the same. */
  readonly long: { readonly beyond: number; readonly frequencies: Float32Array } | null;
  /** Factor on rotated queries and keys (YaRN, LongRoPE). */
  readonly magnitude: number;
}
