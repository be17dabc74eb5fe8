import { needsTotal } from './choose.js';
import { MAX_TOP_K } from './sampler.js';
import type { SamplingParams } from './sampling-params.js';

/** What a choice needs from its row of logits; determined before the row is computed. */
export interface RowNeeds {
  /** Number of largest logits. */
  readonly topK: number;
  /** Whether the whole row is needed in any case. */
  readonly fullRow: boolean;
  /**
   * Asks for the row's sum, and for the whole row unless its largest logits decide; null when no
   * sum is needed.
   */
  readonly unless: Decision | null;
}

/**
 * The largest logits decide when they have more than `coverMass`, or the last has less than
 * `cutoffRatio` times the first's probability.
 */
export interface Decision {
  readonly coverMass: number;
  readonly cutoffRatio: number;
}

/** More than the total mass, so that only the other condition can decide. */
const ALL_MASS = 2;
/**
 * The graph computes in float32. The margin makes it return a row that is then not needed, but
 * never the reverse.
 */
const MARGIN = 1e-5;

const LARGEST_LOGIT: RowNeeds = { topK: 1, fullRow: false, unless: null };

/** @param draw the choice's random number */
export function rowNeeds(params: SamplingParams, draw: number): RowNeeds {
  const { temperature, topK, minP, topP } = params;
  if (temperature === 0) return LARGEST_LOGIT;
  if (topK > 0 && topK <= MAX_TOP_K) return { topK, fullRow: false, unless: null };
  if (minP > 0) {
    const unless = { coverMass: ALL_MASS, cutoffRatio: minP * (1 - MARGIN) };
    return { topK: MAX_TOP_K, fullRow: false, unless };
  }
  if (!needsTotal(params)) return FULL_ROW;
  // Without top-p, the draw determines how far down the ranking the choice can be.
  const mass = topP < 1 ? topP : draw;
  const unless = { coverMass: mass * (1 + MARGIN) + MARGIN, cutoffRatio: 0 };
  return { topK: MAX_TOP_K, fullRow: false, unless };
}

/**
 * Needs when single tokens' logits are edited: the head of the ranking and the sum are corrected,
 * and the row is kept for cases that they do not decide.
 */
export function editedRowNeeds(params: SamplingParams): RowNeeds {
  const unless = needsTotal(params) ? { coverMass: -1, cutoffRatio: 0 } : null;
  return { topK: MAX_TOP_K, fullRow: true, unless };
}

export const FULL_ROW: RowNeeds = { topK: 1, fullRow: true, unless: null };

/** The needs of several choices from one row, which differ only in their draws and edits. */
export function joinNeeds(all: readonly RowNeeds[]): RowNeeds {
  const decisions = all.flatMap(({ unless }) => unless ?? []);
  return {
    topK: Math.max(...all.map(({ topK }) => topK)),
    fullRow: all.some(({ fullRow }) => fullRow),
    unless:
      decisions.length === 0
        ? null
        : {
            coverMass: Math.max(...decisions.map(({ coverMass }) => coverMass)),
            cutoffRatio: Math.min(...decisions.map(({ cutoffRatio }) => cutoffRatio)),
          },
  };
}
