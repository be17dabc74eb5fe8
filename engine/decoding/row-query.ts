import type { StepPlan } from '../../scheduler/step-plan.js';

/**
 * What is wanted of a step's rows, beyond K and V. A step has a row for each token, 0 to T - 1, in the plan's order. Columns, as
 * the graph reads them. Numbers in `sums` and `whole` count the S rows of `logitRows`, not the step's.
 */
export interface RowQuery {
  /** `[S]` rows whose logits are computed, rising. */
  readonly logitRows: readonly number[];
  /** K: how many of the largest logits of each come out; 1 to `vocabSize`. */
  readonly ranked: number;
  /** `[S]` a token for each, whose logit comes out whatever its rank; 0 where none is wanted. */
  readonly targets: readonly number[];
  /** Those that come out whole in any case, rising. */
  readonly whole: readonly number[];
  readonly sums: RowSums;
  /** `[H]` rows whose hidden state comes out, rising. */
  readonly hiddenRows: readonly number[];
}

/**
 * Rows over which the sum of `exp((logit - largest) / temperature)` is taken, `[M]` each. Such a row comes out whole too, unless its K
 * largest logits decide: they have more than `neededMass` of the probability, or the last of them has less than `closingRatio` times
 * the first one's.
 */
export interface RowSums {
  /** Rising, of S; a row may stand here twice, for two temperatures. */
  readonly rows: readonly number[];
  readonly temperatures: readonly number[];
  readonly neededMasses: readonly number[];
  readonly closingRatios: readonly number[];
}

/** Belongs to the caller, who may keep it or write into it. */
export interface RowAnswer {
  /** `[S, K]` falling. */
  readonly topLogits: Float32Array;
  /** `[S, K]` of equal logits, the lower id comes first. */
  readonly topIds: Int32Array;
  /** `[S]` */
  readonly targetLogits: Float32Array;
  /** `[M]` */
  readonly totals: Float32Array;
  /** `[F]` rows, of S, that came out whole; in no order. */
  readonly wholeRows: Int32Array;
  /** `[F, vocabSize]` */
  readonly wholeLogits: Float32Array;
  /** `[H, hiddenSize]` what enters the LM head. */
  readonly hidden: Float32Array;
}

/** Asks for the full last row of every sampled sequence. For tests and warm-up. */
export function wholeRowsOf(plan: StepPlan): RowQuery {
  const logitRows: number[] = [];
  let end = 0;
  for (const { tokenIds, sampledFor } of plan.sequences) {
    end += tokenIds.length;
    if (sampledFor.length > 0) logitRows.push(end - 1);
  }
  return {
    logitRows,
    ranked: 1,
    targets: logitRows.map(() => 0),
    whole: logitRows.map((_, index) => index),
    sums: { rows: [], temperatures: [], neededMasses: [], closingRatios: [] },
    hiddenRows: [],
  };
}
