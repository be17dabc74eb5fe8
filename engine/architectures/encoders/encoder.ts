import type { Activation } from '../activation.js';
import type { Rotary } from '../decoder.js';
import type { Mlp } from '../feed-forward.js';
import type { Linear, Norm, Weight } from '../weights.js';

/**
 * An encoder as data: everything that its computation depends on, and the names of its weights. A
 * family (files of this folder) makes one of a configuration; `build/encoder-graph.ts` makes a
 * graph of it.
 */
export interface EncoderModel {
  /** As the configuration names it, e.g. `bert`. */
  readonly family: string;
  readonly hiddenSize: number;
  readonly embedding: EncoderEmbedding;
  readonly layers: readonly EncoderLayer[];
  readonly finalNorm: Norm | null;
  /** Of a sequence classifier; null: the model gives the rows of its last layer. */
  readonly classifier: Classifier | null;
  /** Weights that checkpoints of the family may have and the computation does not need. */
  readonly unread: readonly RegExp[];
}

/** What is looked up for a token is summed, and normed. */
export interface EncoderEmbedding {
  /** `[vocabulary, hiddenSize]` */
  readonly words: Weight;
  /** Factor on the words. */
  readonly scale: number;
  /** `[positions, hiddenSize]`, of which a text's first token has row `first`. */
  readonly positions: { readonly weight: Weight; readonly first: number } | null;
  /** `[types, hiddenSize]`; of a table with one row, all tokens have that. */
  readonly types: Weight | null;
  readonly norm: Norm | null;
}

export interface EncoderLayer {
  readonly attention: EncoderAttention;
  readonly attentionNorms: SumNorms;
  readonly mlp: Mlp;
  readonly mlpNorms: SumNorms;
}

/** `sum(x + after(block(before(x))))` */
export interface SumNorms {
  readonly before: Norm | null;
  readonly after: Norm | null;
  readonly sum: Norm | null;
}

/** Each token attends to those before and behind it. */
export interface EncoderAttention {
  readonly numHeads: number;
  /** Each is read by `numHeads / numKvHeads` heads that are side by side. */
  readonly numKvHeads: number;
  readonly headSize: number;
  /** Factor on the scores. */
  readonly scale: number;
  /** Tokens on each side that a token attends to, itself not counted; null: all. */
  readonly reach: number | null;
  readonly rotary: Rotary | null;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  /** Of each head by itself, before the rotation. */
  readonly queryNorm: Norm | null;
  readonly keyNorm: Norm | null;
}

/** What makes scores of a text's first row. */
export interface Classifier {
  readonly dense: Linear;
  readonly activation: 'tanh' | Activation;
  readonly norm: Norm | null;
  readonly labels: Linear;
}

/** Norms of a block around which nothing is normed but the sum. */
export const sumNormed = (sum: Norm): SumNorms => ({ before: null, after: null, sum });
