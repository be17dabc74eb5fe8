import type { RecurrentLayer } from './state-layout.js';

/**
 * A causal convolution of each channel by itself over few tokens (LFM2's layers; the first part of
 * Mamba's and of gated DeltaNet's):
 *
 *     y[t] = activation(bias + sum over j of weight[j] * x[t - taps + 1 + j])
 *
 * Its state is the last `taps - 1` inputs, `[channels, taps - 1]`, the oldest first.
 */
export interface ShortConvolution {
  readonly kind: 'convolution';
  readonly channels: number;
  /** Tokens that an output depends on. */
  readonly taps: number;
  /** `[channels, taps]` */
  readonly weight: Float32Array;
  /** `[channels]` */
  readonly bias: Float32Array | null;
  readonly activation: 'none' | 'silu';
}

/** How a token changes the state of a head; `g` is its decay, `b` its update rate. */
export const UPDATE_RULES = ['linear', 'gated', 'delta', 'gated_delta'] as const;
export type UpdateRule = (typeof UPDATE_RULES)[number];

/**
 * Attention without softmax, whose past is one matrix S `[keySize, valueSize]` for each head
 * (Katharopoulos et al. 2020):
 *
 *     linear        S = S + k v'                            (Katharopoulos et al. 2020)
 *     gated         S = exp(g) S + k v'                     (Mamba 2, Dao and Gu 2024)
 *     delta         S = S + b k (v - S'k)'                  (DeltaNet, Yang et al. 2024)
 *     gated_delta   S = exp(g) S + b k (v - exp(g) S'k)'    (gated DeltaNet, Yang et al. 2025)
 *     output        scale S'q, of the new S
 *
 * There may be fewer keys or queries than states: each then serves neighboring states. There may be
 * more queries than states: neighboring queries then read the same state.
 */
export interface LinearAttention {
  readonly kind: 'linear-attention';
  readonly rule: UpdateRule;
  /** Number of states, and of values. */
  readonly numHeads: number;
  readonly numQueryHeads: number;
  readonly numKeyHeads: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly scale: number;
  /** Whether each row of a state decays by a number of its own. */
  readonly decaysByKey: boolean;
  /** Whether all states of a layer share one update rate. */
  readonly sharesRate: boolean;
}

/**
 * A layer that keeps a state of fixed size instead of keys and values. Its inputs are float32:
 *
 * - convolution: x `[channels, T]`
 * - linear attention: queries `[T, numQueryHeads * keySize]`, keys `[T, numKeyHeads * keySize]`,
 *   values `[T, numHeads * valueSize]`; if the rule is gated, decays `[T, numHeads]` or
 *   `[T, numHeads * keySize]`; if it is a delta rule, update rates `[T, numHeads]` or `[T]`
 *
 * Its output is `[channels, T]`, or `[T, max(numHeads, numQueryHeads) * valueSize]`.
 */
export type Recurrence = ShortConvolution | LinearAttention;

/** Tokens `first` to `first + count - 1` of a step, which belong to one sequence. */
export interface TokenRange {
  readonly first: number;
  readonly count: number;
}

/**
 * Computes layers with a state, one after another. For each run of tokens that a state goes
 * through, the caller puts the state before it into the kernel's memory, and takes from there the
 * state behind it:
 *
 *     begin(layer, inputs of the step)
 *     state in, advance(tokens of a sequence), state out, ...
 *     end(output of the step)
 *
 * All calls are synchronous and must come from one thread; an implementation may use worker threads
 * inside a call. A token's numbers do not depend on where runs are cut.
 */
export interface RecurrenceKernel {
  /**
   * @param inputs as `Recurrence` describes them; they stay unchanged until `end`
   * @returns `[4 * stateSize(layer)]` bytes for the state, valid until `end`
   */
  begin(layer: number, inputs: readonly Float32Array[], numTokens: number): Uint8Array;
  /** Takes tokens into the state, one after another. */
  advance(range: TokenRange): void;
  /** @param output gets the rows of all tokens that were taken in; there must be no others */
  end(output: Float32Array): void;
  /** Ends worker threads. Idempotent. */
  dispose(): Promise<void>;
}

export function isGated({ rule }: LinearAttention): boolean {
  return rule === 'gated' || rule === 'gated_delta';
}

export function isDelta({ rule }: LinearAttention): boolean {
  return rule === 'delta' || rule === 'gated_delta';
}

/** Floats of one sequence's state. */
export function stateSize(layer: Recurrence): number {
  if (layer.kind === 'convolution') return layer.channels * (layer.taps - 1);
  return layer.numHeads * layer.keySize * layer.valueSize;
}

/** Floats of the output for each token. */
export function outputWidth(layer: Recurrence): number {
  if (layer.kind === 'convolution') return layer.channels;
  return Math.max(layer.numHeads, layer.numQueryHeads) * layer.valueSize;
}

/** Floats of each input for each token. */
export function inputWidths(layer: Recurrence): number[] {
  if (layer.kind === 'convolution') return [layer.channels];
  const { numHeads, numQueryHeads, numKeyHeads, keySize, valueSize } = layer;
  return [
    numQueryHeads * keySize,
    numKeyHeads * keySize,
    numHeads * valueSize,
    ...(isGated(layer) ? [layer.decaysByKey ? numHeads * keySize : numHeads] : []),
    ...(isDelta(layer) ? [layer.sharesRate ? 1 : numHeads] : []),
  ];
}

/** Sizes of a tensor with a row for each of `numTokens` tokens. */
export function tensorDims(layer: Recurrence, width: number, numTokens: number): number[] {
  return layer.kind === 'convolution' ? [1, width, numTokens] : [1, numTokens, width];
}

export function recurrentLayer(layer: Recurrence): RecurrentLayer {
  return { stateBytes: 4 * stateSize(layer) };
}
