import type { Linear, Norm, Weight } from './weights.js';

/** What mixes tokens by a state of fixed size, in place of attention or beside it. */
export type StateLayer = GatedConvolution | DeltaNet | Mamba;

/** A causal convolution of each channel by itself over `taps` tokens (`ShortConvolution`). */
export interface Convolution {
  readonly channels: number;
  readonly taps: number;
  /** `[channels, 1, taps]`, or without the 1. */
  readonly weight: Weight;
  /** `[channels]` */
  readonly bias: Weight | null;
}

/** LFM2's: with b, c and x the three parts of `input(x)`, `output(c * convolution(b * x))`. */
export interface GatedConvolution {
  readonly kind: 'gated-convolution';
  /** To b, c and x, end to end. */
  readonly input: Linear;
  readonly convolution: Convolution;
  readonly output: Linear;
}

/**
 * How fast the state of each head fades: decay = -exp(`rate`) * softplus(step + `stepBias`), and
 * the state is multiplied by exp(decay).
 */
export interface Fading {
  /** `[heads]` */
  readonly stepBias: Weight;
  /** One for each head; GGUF has `-exp(rate)` in its place. */
  readonly rate: { readonly weight: Weight; readonly form: 'log' | 'negative' };
}

/**
 * Gated DeltaNet (Yang et al. 2025). Queries, keys and values go through a convolution with SiLU;
 * queries and keys become unit vectors; then the gated delta rule (`LinearAttention`), with update
 * rates `sigmoid(rate)`; and `output(norm(y) * silu(gate))`, the norm of each head by itself.
 */
export interface DeltaNet {
  readonly kind: 'delta-net';
  /** Of queries and of keys; each serves as many neighboring values as fit. */
  readonly numKeyHeads: number;
  readonly numValueHeads: number;
  readonly keySize: number;
  readonly valueSize: number;
  /**
   * Which values a head of keys serves: neighbors, or each head after the number of key heads
   * (GGUF's order, for which keys need only be repeated whole).
   */
  readonly valueHeads: 'neighbors' | 'strided';
  readonly projections: DeltaProjections;
  /** Of queries, keys and values, end to end. */
  readonly convolution: Convolution;
  readonly fading: Fading;
  readonly norm: Norm;
  readonly output: Linear;
}

export interface DeltaProjections {
  readonly values:
    | {
        readonly kind: 'separate';
        /** Queries, keys and values, end to end. */
        readonly queryKeyValue: Linear;
        readonly gate: Linear;
      }
    /** For each head of keys: query, key, values and gates. */
    | { readonly kind: 'by-head'; readonly queryKeyValueGate: Linear };
  readonly steps:
    | { readonly kind: 'separate'; readonly rate: Linear; readonly step: Linear }
    /** For each head of keys: update rates and steps. */
    | { readonly kind: 'by-head'; readonly rateStep: Linear };
}

/**
 * Mamba 2 (Dao and Gu 2024): x, b and c go through a convolution with SiLU; with
 * `step = softplus(step + stepBias)`, the gated rule (`LinearAttention`) of queries c, keys b and
 * values `step * x`; then `y + skip * x`, the gate, and the output.
 */
export interface Mamba {
  readonly kind: 'mamba';
  readonly numHeads: number;
  readonly headSize: number;
  /** Of b and c; each serves neighboring heads. */
  readonly numGroups: number;
  readonly stateSize: number;
  /** To gate, x, b, c and steps, end to end. */
  readonly input: Linear;
  /** Factors on these five; null: none. */
  readonly inputFactors: readonly number[] | null;
  /** Of x, b and c, end to end. */
  readonly convolution: Convolution;
  readonly fading: Fading;
  /** Steps are cut to them. */
  readonly stepLimits: readonly [low: number, high: number];
  /** `[numHeads]` */
  readonly skip: Weight;
  /**
   * `norm(y * silu(gate))`, or `norm(y) * silu(gate)`, each of `groups` equal parts of y by itself;
   * null: `y * silu(gate)`.
   */
  readonly norm: {
    readonly norm: Norm;
    readonly groups: number;
    readonly beforeGate: boolean;
  } | null;
  readonly output: Linear;
}
