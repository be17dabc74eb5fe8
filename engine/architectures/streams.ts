import type { Linear, Norm, Weight } from './weights.js';

/**
 * Alternating updates (AltUp; Baykal et al. 2023, Gemma 3n): a token has several vectors of the
 * hidden size, its streams, of which a layer computes one and predicts the others.
 */
export interface Streams {
  readonly count: number;
  /** The one that layers compute. */
  readonly active: number;
  /** Make the streams after the first of the first, each scaled to its magnitude. */
  readonly spread: readonly Linear[];
  /** Applied to the streams after the first, each then scaled to the first; all are averaged. */
  readonly merged: readonly Linear[];
}

/**
 * What a layer does to the streams s. With m(x) = `tanh(router(norm(x) * routerScale))`, P the
 * matrix `[count, count]` of prediction(m(s[active])), and y what the layer makes of p[active]:
 *
 *     p = s + P s
 *     p[i] + (y - p[active]) * (1 + correction(m(y))[i])
 */
export interface LayerStreams {
  readonly norm: Norm;
  readonly routerScale: number;
  /** To `count`. */
  readonly router: Linear;
  readonly prediction: Linear;
  readonly correction: Linear;
  /** `[hiddenSize]`: factors on what the layer's last block reads; null without. */
  readonly scale: Weight | null;
}

/**
 * Learned augmented residual layer (LAuReL; Menghani et al. 2024): beside attention, it adds
 * `x + norm(right(left(x)))` of the attention's input x, and the sum is divided by sqrt(2).
 */
export interface Laurel {
  readonly left: Linear;
  readonly right: Linear;
  readonly norm: Norm;
}
