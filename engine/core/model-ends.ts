import type { TokenId } from '../../scheduler/ids.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';

/**
 * The ends of a model, for layers that draft: they read its hidden rows, embed tokens as it does,
 * and choose through its head. Calls are made one at a time, and between two steps.
 */
export interface ModelEnds {
  readonly hiddenSize: number;
  /** @param reader is told of each step from now on */
  watch(reader: HiddenReader): void;
  /** @returns `[T, hiddenSize]`, without the factors that some models multiply embeddings with */
  embed(tokenIds: readonly TokenId[]): Promise<Float32Array>;
  /**
   * What the head makes of rows.
   *
   * @param hidden `[S, hiddenSize]`, in the place of hidden rows of a step; `query` numbers them
   */
  rank(hidden: Float32Array, query: LogitsQuery): Promise<LogitsResult>;
}

/** Reads the rows that a model's head reads. */
export interface HiddenReader {
  /**
   * Called in each step, when all layers are computed. The step waits for it; its rejection is that
   * of the step.
   *
   * @param hidden `[T, hiddenSize]`: of all tokens of the step, proposed ones included; valid
   *   during the call
   */
  read(plan: StepPlan, hidden: Float32Array): Promise<void>;
}
