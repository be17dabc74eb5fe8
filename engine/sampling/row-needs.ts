import { needsTotal } from './choose.js';
import { MAX_RANKED } from './sampler.js';
import type { SamplingParams } from './sampling-params.js';

/** What a choice needs from its row of logits; determined before the row is computed. */
export interface RowNeeds {
  /** Number of largest logits. */
  readonly ranked: number;
  /** Whether the whole row is needed in any case. */
  readonly whole: boolean;
  /**
   * Asks for the row's sum, and for the whole row unless its largest logits decide; null when no
   * sum is needed.
   */
  readonly unless: Decision | null;
}

/**
 * The largest logits decide when they have more than `neededMass`, or the last has less than
 * `closingRatio` times the first's probability.
 */
export interface Decision {
  readonly neededMass: number;
  readonly closingRatio: number;
}

/** More than the total mass, so that only the other condition can decide. */
const ALL_MASS = 2;
/**
 * The graph computes in float32. The margin makes it return a row that is then not needed, but
 * never the reverse.
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
  // Without top-p, the draw determines how far down the ranking the choice can be.
  const mass = topP < 1 ? topP : draw;
  const unless = { neededMass: mass * (1 + MARGIN) + MARGIN, closingRatio: 0 };
  return { ranked: MAX_RANKED, whole: false, unless };
}

/**
 * Needs when single tokens' logits are edited: the head of the ranking and the sum are corrected,
 * and the row is kept for cases that they do not decide.
 */
export function editedRowNeeds(params: SamplingParams): RowNeeds {
  const unless = needsTotal(params) ? { neededMass: -1, closingRatio: 0 } : null;
  return { ranked: MAX_RANKED, whole: true, unless };
}

export const WHOLE_ROW: RowNeeds = { ranked: 1, whole: true, unless: null };

/** The needs of several choices from one row, which differ only in their draws and edits. */
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
