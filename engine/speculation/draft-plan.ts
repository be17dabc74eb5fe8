import { type DraftLength, LEAST_GAIN, type StepLoad } from './draft-length.js';
import type { StepCosts } from './step-costs.js';

/** A sequence for which drafts can be computed. */
export interface DraftCandidate {
  /** Probability that its draft's token at a depth is right when all before it are. */
  readonly rateAt: (depth: number) => number;
  /** Maximum length of its draft. */
  readonly most: number;
  /** Tokens of the output that can still be drafted. */
  readonly room: number;
  /** Tokens of its text that the drafter must compute first, besides the last one. */
  readonly behind: number;
  /** Drafted tokens that are there already. */
  readonly ready: number;
}

/** What runs cost by their rows, both in the same unit. */
export interface DraftCosts {
  /** Of the model that checks the drafts. */
  readonly target: StepCosts;
  /** Of the one that drafts. */
  readonly draft: StepCosts;
}

/**
 * Drafted tokens are taken that are right with at least one of these probabilities: the one with
 * which the step pays best.
 */
const THRESHOLDS = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05];
/** What a drafter must read first is paid by as many tokens, if as many are to come. */
const TOKENS_PER_READING = 64;

/**
 * How long drafts should be, of all sequences of a step together: a run of the drafter costs hardly
 * less for one of them than for all, so that a depth pays for many or for none.
 *
 * @param load the step without drafts
 * @returns the length of each candidate; 0 for all where drafting does not pay
 */
export function planDrafts(
  candidates: readonly DraftCandidate[],
  load: StepLoad,
  costs: DraftCosts,
): number[] {
  let lengths = candidates.map(() => 0);
  let bestSpeed = (load.decided / costs.target.of(load.rows)) * LEAST_GAIN;
  for (const threshold of THRESHOLDS) {
    const found = candidates.map((candidate) => reach(candidate, threshold));
    const speed = speedOf(candidates, found, load, costs);
    if (speed <= bestSpeed) continue;
    bestSpeed = speed;
    lengths = found.map(({ length }) => length);
  }
  return lengths;
}

/** Of the runs that one more token of one sequence takes, alone. */
export function costOfDrafting({ behind }: DraftCandidate, length: number, draft: StepCosts) {
  return draft.of(1 + behind) + (length - 1) * draft.of(1);
}

/** The draft up to the token that is right with less than this probability. */
function reach({ rateAt, most }: DraftCandidate, threshold: number): DraftLength {
  let [length, expected, reached] = [0, 0, 1];
  while (length < most) {
    reached *= rateAt(length);
    if (reached < threshold) break;
    expected += reached;
    length += 1;
  }
  return { length, expected };
}

/** Tokens that the step decides in a unit of time, the drafter's runs included. */
function speedOf(
  candidates: readonly DraftCandidate[],
  found: readonly DraftLength[],
  { rows, decided }: StepLoad,
  { target, draft }: DraftCosts,
): number {
  const longest = Math.max(0, ...found.map(({ length }) => length));
  let [ms, drafted, expected] = [0, 0, 0];
  for (let depth = 0; depth < longest; depth++) {
    let drafting = 0;
    for (const [i, { length }] of found.entries()) {
      const { ready, behind, room } = candidates[i];
      if (length <= depth || depth < ready) continue;
      drafting += 1 + (depth === ready ? behind / Math.min(TOKENS_PER_READING, room) : 0);
    }
    if (drafting > 0) ms += draft.of(drafting);
  }
  for (const { length, expected: right } of found) {
    drafted += length;
    expected += right;
  }
  return (decided + expected) / (target.of(rows + drafted) + ms);
}
