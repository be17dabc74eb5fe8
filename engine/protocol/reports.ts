import type { ResidencySamples } from '../../kvcache/block-history.js';
import type { BlockMap } from '../../kvcache/block-map.js';
import type { SequenceProgress } from '../../scheduler/sequence.js';

/** The latest figures of an engine; sent with every step. */
export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  /** Sequences that neither run nor wait until their readers have read. */
  readonly paused: number;
  /** Since the start. */
  readonly preemptions: number;
  readonly usedBlocks: number;
  /** Since the start. */
  readonly steps: number;
}

/**
 * Milliseconds of a step by phase; the rest of `total` is JavaScript around the calls of ONNX
 * Runtime.
 */
export interface StepTimings {
  /** Planning, and building the query of the rows. */
  readonly schedule: number;
  /** Inside ONNX Runtime. */
  readonly segments: number;
  /** Between the segments: writing K and V, and attention. */
  readonly attention: number;
  /** Sampling, and applying the results. */
  readonly sample: number;
  readonly total: number;
}

/** A report of one step, for listeners. */
export interface StepReport {
  /** Number of tokens computed, over all sequences. */
  readonly numTokens: number;
  readonly timings: StepTimings;
  /** Block lifetimes that became known since the last step; null for none. */
  readonly residency: ResidencySamples | null;
}

/** Blocks and requests between two steps, for listeners. */
export interface EngineSnapshot {
  /**
   * When it was taken, in milliseconds on the engine's clock, which `blocks` and `requests` use,
   * too.
   */
  readonly time: number;
  readonly stats: EngineStats;
  readonly blocks: BlockMap;
  /**
   * All running and paused requests, and the first of those that wait. Requests whose grammar is
   * being compiled are in `stats` only.
   */
  readonly requests: readonly SequenceProgress[];
}
