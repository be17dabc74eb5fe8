import type { StepPlan } from '../../../scheduler/step-plan.js';
import type { BlockStore } from '../../attention/block-store.js';

/** What layers that draft read of each token of a plan: `[T, hiddenSize]` both. */
export interface LayerRows {
  /** Of the token itself. */
  readonly embeddings: Float32Array;
  /** Of the token before it, or what stands for it; of the first token of a text, zeros. */
  readonly hidden: Float32Array;
}

/**
 * Layers that draft. All stages share one layer of pages: what a stage stores, all of them read.
 *
 * The row of a token has the token's own slot, so that a block holds what follows from its own
 * tokens and those before. The first token of a text has no row: its slot is written, and nothing
 * reads it. One call at a time.
 */
export interface LayerRunner {
  /** One for each place of a draft; the last serves all behind it. */
  readonly numStages: number;
  readonly pages: BlockStore;
  /**
   * Stores keys and values by the first stage.
   *
   * @param plan its tables are in group 0; copies and loads have been done
   */
  store(plan: StepPlan, rows: LayerRows): Promise<void>;
  /**
   * Stores keys and values by a stage, and lets the rows attend.
   *
   * @returns `[T, hiddenSize]`: what stands for the hidden rows; the caller owns it
   */
  compute(stage: number, plan: StepPlan, rows: LayerRows): Promise<Float32Array>;
  /** Ends threads and sessions. Idempotent. */
  dispose(): Promise<void>;
}
