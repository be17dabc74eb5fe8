import type { StepPlan } from '../../scheduler/step-plan.js';

export interface RunnerTimings {
  /** Inside ONNX Runtime. */
  readonly segments: number;
  /** Between the segments: writing K and V, and attending. */
  readonly attention: number;
}

/**
 * The engine core's view of a model. Implementations: segments in ONNX Runtime with paged attention between them,
 * and scripted models in tests.
 */
export interface ModelRunner {
  /**
   * Computes one step: K and V of all its tokens go into the cache, logits come out.
   *
   * One call at a time. A rejection is final: the pages are then in an unknown state.
   *
   * @returns `[S, vocabSize]` logits of the last token of each of the S sequences that have samplers, in the
   *   plan's order; valid until the next call
   */
  execute(plan: StepPlan): Promise<Float32Array>;
  /** Where the last step's time went; milliseconds. */
  readonly timings: RunnerTimings;
  /** Ends helper threads and sessions. Idempotent. */
  dispose(): Promise<void>;
}
