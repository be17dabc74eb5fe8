import type { StepPlan } from '../../scheduler/step-plan.js';

/**
 * What is asked of a step's rows, besides storing K and V. A step has a row for each token, 0 to
 * T - 1, in the plan's order. The fields are columns, as the graph reads them. Row numbers in
 * `softmaxSums` and `fullRows` index the S rows of `logitRows`, not the step's.
 */
export interface LogitsQuery {
  /** `[S]` rows whose logits are computed, rising. */
  readonly logitRows: readonly number[];
  /** K: the number of largest logits that are returned for each row; 1 to `vocabSize`. */
  readonly topK: number;
  /**
   * `[S]` a token for each row whose logit is returned whatever its rank; 0 when none is needed.
   */
  readonly targetIds: readonly number[];
  /** Rows that are returned whole in any case, rising. */
  readonly fullRows: readonly number[];
  readonly softmaxSums: SoftmaxSumRows;
  /** `[H]` rows whose hidden state is returned, rising. */
  readonly hiddenRows: readonly number[];
}

/**
 * Rows whose softmax denominator is computed, `[M]` each: the sum of
 * `exp((logit - largest) / temperature)` over the vocabulary. Such a row is also returned whole,
 * unless its K largest logits decide: they cover more than `coverMass` of the probability (top-p,
 * or the draw where top-p is off), or the last of them has less than `cutoffRatio` times the
 * probability of the first (min-p).
 */
export interface SoftmaxSumRows {
  /** Rows among S, rising; a row may occur twice, for two temperatures. */
  readonly rows: readonly number[];
  readonly temperatures: readonly number[];
  readonly coverMasses: readonly number[];
  readonly cutoffRatios: readonly number[];
}

/** The caller owns it, and may keep it or write into it. */
export interface LogitsResult {
  /** `[S, K]` falling. */
  readonly topLogits: Float32Array;
  /** `[S, K]`; among equal logits, the lower id comes first. */
  readonly topIds: Int32Array;
  /** `[S]` */
  readonly targetLogits: Float32Array;
  /** `[M]` */
  readonly softmaxSums: Float32Array;
  /** `[F]` rows among S that were returned whole, in any order. */
  readonly fullRows: Int32Array;
  /** `[F, vocabSize]` */
  readonly fullLogits: Float32Array;
  /** `[H, hiddenSize]` input of the LM head. */
  readonly hidden: Float32Array;
}

/** Asks for the full last row of every sampled sequence. For tests and warm-up. */
export function fullRowsOf(plan: StepPlan): LogitsQuery {
  const logitRows: number[] = [];
  let end = 0;
  for (const { tokenIds, sampledFor } of plan.sequences) {
    end += tokenIds.length;
    if (sampledFor.length > 0) logitRows.push(end - 1);
  }
  return {
    logitRows,
    topK: 1,
    targetIds: logitRows.map(() => 0),
    fullRows: logitRows.map((_, index) => index),
    softmaxSums: { rows: [], temperatures: [], coverMasses: [], cutoffRatios: [] },
    hiddenRows: [],
  };
}
