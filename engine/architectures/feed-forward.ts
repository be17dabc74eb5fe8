import type { Activation } from './activation.js';
import type { BlockNorms, Linear, Norm, Weight } from './weights.js';

export type FeedForward = Mlp | ClampedMlp | Experts | MlpAndExperts;

/** `down(activation(gate(x)) * up(x))`, or `down(activation(up(x)))` without a gate. */
export interface Mlp {
  readonly kind: 'mlp';
  readonly activation: Activation;
  readonly gate: Linear | null;
  /**
   * Gates lose their mean in the token and this many of their standard deviations, and what is
   * then below 0 is 0, before the activation; absent: they are not cut.
   */
  readonly gateCut?: number;
  /** Factors on gate and result; absent: 1. */
  readonly gateScale?: number;
  readonly downScale?: number;
  readonly up: Linear;
  readonly down: Linear;
}

/**
 * Of gpt-oss. Gates, and what they let through, are even and odd outputs of one matrix, or have a
 * matrix each; both are cut at `limit`:
 *
 *     down((up + 1) * gate * sigmoid(alpha * gate))     gate <= limit, -limit <= up <= limit
 */
export interface ClampedMlp {
  readonly kind: 'clamped-mlp';
  readonly input: { readonly both: Linear } | { readonly gate: Linear; readonly up: Linear };
  readonly down: Linear;
  readonly alpha: number;
  readonly limit: number;
}

/**
 * A mixture of experts (Shazeer et al. 2017): scores of the router's outputs choose `perToken` of
 * the experts, whose results are summed by their scores.
 */
export interface Experts {
  readonly kind: 'experts';
  readonly router: Router;
  readonly perToken: number;
  readonly experts: readonly (Mlp | ClampedMlp)[];
  /** Computed for every token, and added: times sigmoid(gate(x)) if there is a gate. */
  readonly shared: { readonly mlp: Mlp; readonly gate: Linear | null } | null;
  /** Around the experts: what they see is narrower than the layer; null: they see all. */
  readonly latent: { readonly down: Linear; readonly up: Linear } | null;
}

/** Of Gemma 4: both see the layer's sum, each behind norms of its own, and are summed. */
export interface MlpAndExperts {
  readonly kind: 'mlp-and-experts';
  readonly mlp: Mlp;
  readonly mlpNorms: BlockNorms;
  readonly experts: Experts;
  readonly expertNorms: BlockNorms;
}

export interface Router {
  /**
   * Makes what the router sees of what the layer has before the experts' own norm, times a factor;
   * absent: it sees what the experts see.
   */
  readonly input?: { readonly norm: Norm; readonly scale: number };
  readonly linear: Linear;
  readonly scores: 'softmax' | 'sigmoid';
  /** Added to the scores for the choice alone: `[experts]`. */
  readonly choiceBias: Weight | null;
  /** Whether the chosen scores are divided by their sum, to which the number is added. */
  readonly normalized: { readonly epsilon: number } | null;
  /** Factor on the chosen scores. */
  readonly scale: number;
  /** `[experts]`: factors on those, one for each expert; absent: 1. */
  readonly expertScales?: Weight;
}
