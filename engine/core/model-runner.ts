import type { StepPlan } from '../../scheduler/step-plan.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';

export interface RunnerTimings {
  /** Milliseconds inside ONNX Runtime. */
  readonly segments: number;
  /** Milliseconds between the segments: writing K and V, and attention. */
  readonly attention: number;
}

/**
 * The engine core's interface to a model. Implementations: segments in ONNX Runtime with paged
 * attention between them, and scripted models in tests.
 */
export interface ModelRunner {
  /**
   * Computes one step: stores K and V of all its tokens in the cache, and returns what the query
   * asks for.
   *
   * One call at a time. A rejection is final: the content of the pages is then undefined.
   */
  execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult>;
  /** Whether plans may have `blockCopies`; if not, `execute` rejects them. */
  readonly canCopyBlocks: boolean;
  /** The last step's time by phase, in milliseconds. */
  readonly timings: RunnerTimings;
  /** Ends worker threads and sessions. Idempotent. */
  dispose(): Promise<void>;
}
