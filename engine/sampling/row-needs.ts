import { needsTotal } from './choose.js';
import { MAX_RANKED } from './sampler.js';
import type { SamplingParams } from './sampling-params.js';

/** What a choice needs of its row of logits, known before the row is. */
export interface RowNeeds {
  /** How many of the largest logits. */
  readonly ranked: number;
  /** The row itself, in any case. */
  readonly whole: boolean;
  /** The row's sum, and the row itself unless its largest logits decide; null: no sum is needed. */
  readonly unless: Decision | null;
}

/**
 * When the largest logits decide: they have more than `neededMass`, or the last has less than
 * `closingRatio` of the first.
 */
export interface Decision {
  readonly neededMass: number;
  readonly closingRatio: number;
}

/** More than there is: only the other condition can decide. */
const ALL_MASS = 2;
/**
 * The graph works in float32: in doubt, a row comes out that is then not needed, never the other
 * way round.
 */
const MARGIN = 1e-5;

/** @param draw the choice's random number */
export function rowNeeds(params: SamplingParams, draw: number): RowNeeds {
  const { temperature, topK, minP, topP } = params;
  if (temperature === 0) return { ranked: 1, whole: false, unless: null };
  if (topK > 0 && topK <= MAX_RANKED) return { ranked: topK, whole: false, unless: null };
  if (minP > 0) {
    const unless = { neededMass: ALL_MASS, closingRatio: minP * (1 - MARGIN) };
    return { ranked: MAX_RANKED, whole: false, unless };
  }
  if (!needsTotal(params)) return WHOLE_ROW;
  // Without top-p the draw says how far down the ranking the choice goes.
  const mass = topP < 1 ? topP : draw;
  const unless = { neededMass: mass * (1 + MARGIN) + MARGIN, closingRatio: 0 };
  return { ranked: MAX_RANKED, whole: false, unless };
}

/**
 * After edits of single tokens: the head of the ranking and the sum are corrected, with the row at
 * hand for what they do not decide.
 */
export function editedRowNeeds(params: SamplingParams): RowNeeds {
  const unless = needsTotal(params) ? { neededMass: -1, closingRatio: 0 } : null;
  return { ranked: MAX_RANKED, whole: true, unless };
}

export const WHOLE_ROW: RowNeeds = { ranked: 1, whole: true, unless: null };

/** What several choices from one row need. They differ in nothing but their draws and edits. */
export function joinNeeds(all: readonly RowNeeds[]): RowNeeds {
  const decisions = all.flatMap(({ unless }) => unless ?? []);
  return {
    ranked: Math.max(...all.map(({ ranked }) => ranked)),
    whole: all.some(({ whole }) => whole),
    unless:
      decisions.length === 0
        ? null
        : {
            neededMass: Math.max(...decisions.map(({ neededMass }) => neededMass)),
            closingRatio: Math.min(...decisions.map(({ closingRatio }) => closingRatio)),
          },
  };
}
