import type { Fading } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import { nameOf } from './stored-weights.js';

/** `softplus(step + bias)`. */
export function stepSizes(b: GraphBuilder, step: string, { stepBias }: Fading): string {
  const biased = b.node('Add', `${step}/biased`, [step, b.weight(stepBias)]);
  return b.node('Softplus', `${step}/size`, [biased]);
}

/** What a step's size is multiplied by for its decay: `[heads]`, below 0. */
export function fadingRates(b: GraphBuilder, { rate }: Fading): string {
  const flat = b.ints('flat', [-1]);
  const stored = b.node('Reshape', `${nameOf(rate.weight)}/row`, [b.weight(rate.weight), flat]);
  if (rate.form === 'negative') return stored;
  return b.node('Neg', `${stored}/negative`, [b.node('Exp', `${stored}/exp`, [stored])]);
}
