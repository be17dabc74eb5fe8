import type { Weight } from './weights.js';

/** `gelu`: the exact one; `gelu-tanh`: its approximation; `relu2`: the square of ReLU. */
export type Activation = 'silu' | 'gelu' | 'gelu-tanh' | 'relu' | 'relu2' | Xielu;

/**
 * xIELU (Huang and Schlag 2024): with `a = softplus(positive)` and `c = beta + softplus(negative)`,
 *
 *     x > 0     a x^2 + beta x
 *     else      c (exp(min(x, epsilon)) - 1 - x) + beta x
 */
export interface Xielu {
  readonly kind: 'xielu';
  /** `[1]`, as the next one. */
  readonly positive: Weight;
  readonly negative: Weight;
  readonly beta: number;
  readonly epsilon: number;
}
