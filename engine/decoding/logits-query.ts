import type { StepPlan } from '../../scheduler/step-plan.js';

/**
 * What the model is asked for of a step's rows, beyond K and V. A step has a row for each token, 0 to
 * T - 1, in the plan's order. Columns, as the graph reads them. Numbers in `softmaxSums` and `fullRows`
 * count the S rows of `logitRows`, not the step's.
 */
export interface LogitsQuery {
  /** `[S]` rows whose logits are computed, rising. */
  readonly logitRows: readonly number[];
  /** K: how many of the largest logits of each come out; 1 to `vocabSize`. */
  readonly topK: number;
  /** `[S]` a token for each, whose logit comes out whatever its rank; 0 where none is wanted. */
  readonly targetIds: readonly number[];
  /** Those whose logits all come out in any case, rising. */
  readonly fullRows: readonly number[];
  readonly softmaxSums: SoftmaxSumRows;
  /** `[H]` rows whose hidden state comes out, rising. */
  readonly hiddenRows: readonly number[];
}

/**
 * Rows whose softmax denominator is taken, `[M]` each: the sum of `exp((logit - largest) / temperature)`
 * over the vocabulary. All logits of such a row come out too, unless its K largest decide: they cover
 * more than `coverMass` of the probability (top-p, or the draw where top-p is off), or the last of them
 * has less than `cutoffRatio` times the probability of the first (min-p).
 */
export interface SoftmaxSumRows {
  /** Rising, of S; a row may stand here twice, for two temperatures. */
  readonly rows: readonly number[];
  readonly temperatures: readonly number[];
  readonly coverMasses: readonly number[];
  readonly cutoffRatios: readonly number[];
}

/** Belongs to the caller, who may keep it or write into it. */
export interface LogitsResult {
  /** `[S, K]` falling. */
  readonly topLogits: Float32Array;
  /** `[S, K]` of equal logits, the lower id comes first. */
  readonly topIds: Int32Array;
  /** `[S]` */
  readonly targetLogits: Float32Array;
  /** `[M]` */
  readonly softmaxSums: Float32Array;
  /** `[F]` rows, of S, whose logits all came out; in no order. */
  readonly fullRows: Int32Array;
  /** `[F, vocabSize]` */
  readonly fullLogits: Float32Array;
  /** `[H, hiddenSize]` what enters the LM head. */
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
