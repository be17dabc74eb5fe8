import type { StepPlan } from '../../scheduler/step-plan.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';

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
   * Computes one step: K and V of all its tokens go into the cache, and what is asked of its rows comes out.
   *
   * One call at a time. A rejection is final: the pages are then in an unknown state.
   */
  execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult>;
  /** Where the last step's time went; milliseconds. */
  readonly timings: RunnerTimings;
  /** Ends helper threads and sessions. Idempotent. */
  dispose(): Promise<void>;
}
