import type { StepLoad } from './draft-length.js';
import { costOfDrafting, type DraftCandidate, type DraftCosts, planDrafts } from './draft-plan.js';

/** Share of the steps' time that may go into drafts that are not expected to pay. */
const PROBE_SHARE = 0.01;
/** Tokens that a probe drafts more than pays. */
const PROBE_TOKENS = 2;
/** Steps in a row that have a probe: one alone tells little, and the first costs most. */
const PROBE_STEPS = 16;

/**
 * Plans the drafts of each step that a model computes. Where its drafts do not pay, nothing would
 * ever tell that they have become better: so a small share of the time goes into probes, drafts
 * that are compared with the text and mostly not checked by a step.
 *
 * A probe goes to the sequence for which it costs least, which is mostly the one that had the last:
 * of the others, the drafter would have to read all that has been said since. What it teaches is
 * common to all (`AcceptanceRates`).
 */
export class DraftPlanner {
  readonly #costs: DraftCosts;
  /** What probes may cost. */
  #credit = 0;
  /** Whether there are probes until the credit is spent. */
  #isProbing = false;

  constructor(costs: DraftCosts) {
    this.#costs = costs;
  }

  /**
   * @param load the step without drafts
   * @returns the length of each candidate's draft
   */
  plan(candidates: readonly DraftCandidate[], load: StepLoad): number[] {
    const lengths = planDrafts(candidates, load, this.#costs);
    let [probed, price] = [-1, Number.POSITIVE_INFINITY];
    for (const [i, candidate] of candidates.entries()) {
      if (lengths[i] >= candidate.most || candidate.ready > lengths[i]) continue;
      const cost = costOfDrafting(candidate, PROBE_TOKENS, this.#costs.draft);
      if (cost < price) [probed, price] = [i, cost];
    }
    if (probed < 0) return lengths;
    this.#credit += PROBE_SHARE * this.#costs.target.of(load.rows);
    const further = (PROBE_STEPS - 1) * PROBE_TOKENS * this.#costs.draft.of(1);
    this.#isProbing = this.#credit >= (this.#isProbing ? price : price + further);
    if (!this.#isProbing) return lengths;
    this.#credit -= price;
    lengths[probed] = Math.min(candidates[probed].most, lengths[probed] + PROBE_TOKENS);
    return lengths;
  }
}
