import type { Activation } from './activation.js';
import type { Linear, Norm, Weight } from './weights.js';

/**
 * Per-layer embeddings (Gemma 3n and 4): each token has a short vector for each layer. With x the
 * token's row of the decoder's embedding, the vectors of all layers are
 *
 *     (norm(projection(x) * projectionScale) + row of the table * tableScale) * sumScale
 */
export interface LayerInputs {
  /** Length of a layer's vector. */
  readonly size: number;
  /** `[tokens, layers * size]`; tokens beyond have the first row. */
  readonly table: Weight;
  readonly tableScale: number;
  /** To `layers * size`. */
  readonly projection: Linear;
  readonly projectionScale: number;
  /** Of each layer's vector by itself. */
  readonly norm: Norm;
  readonly sumScale: number;
}

/**
 * A block that reads a layer's vector v of `LayerInputs`: it adds
 * `norm(projection(activation(gate(x)) * v))` to x.
 */
export interface LayerInput {
  /** From the hidden size to that of the vector. */
  readonly gate: Linear;
  readonly activation: Activation;
  readonly projection: Linear;
  readonly norm: Norm;
}
