import type { StepCosts } from './step-costs.js';

/** A draft must promise this much more, because costs are measured with some error. */
export const LEAST_GAIN = 1.03;

/** What the step has without the draft. */
export interface StepLoad {
  /** Tokens that it computes. */
  readonly rows: number;
  /** Tokens that it is expected to decide; at least one. */
  readonly decided: number;
}

/** How many tokens of a draft are computed, and how many of them are expected to be right. */
export interface DraftLength {
  readonly length: number;
  readonly expected: number;
}

/**
 * The length with which the step decides most tokens a millisecond; 0 where drafting does not pay.
 *
 * @param rateAt probability that the draft's token at a depth is right when all before it are
 * @param leastGain how many times more it must promise than no draft
 */
export function bestDraftLength(
  rateAt: (depth: number) => number,
  most: number,
  { rows, decided }: StepLoad,
  costs: StepCosts,
  leastGain = LEAST_GAIN,
): DraftLength {
  let best: DraftLength = { length: 0, expected: 0 };
  let bestSpeed = (decided / costs.of(rows)) * leastGain;
  let [reached, expected] = [1, 0];
  for (let length = 1; length <= most; length++) {
    reached *= rateAt(length - 1);
    expected += reached;
    const speed = (decided + expected) / costs.of(rows + length);
    if (speed <= bestSpeed) continue;
    bestSpeed = speed;
    best = { length, expected };
  }
  return best;
}
