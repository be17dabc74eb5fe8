import type { ResidencySamples } from '../../kvcache/block-history.js';
import type { BlockMap } from '../../kvcache/block-map.js';
import type { SequenceProgress } from '../../scheduler/sequence.js';

/** The newest figures of an engine; sent with every step. */
export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  /** Neither running nor waiting, until their readers have read. */
  readonly paused: number;
  /** Since the start. */
  readonly preemptions: number;
  readonly usedBlocks: number;
  /** Since the start. */
  readonly steps: number;
}

/** Milliseconds of a step by phase; what is left of `total` is JavaScript around ONNX Runtime's calls. */
export interface StepTimings {
  /** Planning, and asking what completions need of the rows. */
  readonly schedule: number;
  /** Inside ONNX Runtime. */
  readonly segments: number;
  /** Between the segments: writing K and V, and attending. */
  readonly attention: number;
  /** Sampling, and taking the results in. */
  readonly sample: number;
  readonly total: number;
}

/** One step, for those who watch. */
export interface StepReport {
  /** Computed in it, over all sequences. */
  readonly numTokens: number;
  readonly timings: StepTimings;
  /** What became known since the last step; null when nothing did. */
  readonly residency: ResidencySamples | null;
}

/** Blocks and requests between two steps, for those who watch. */
export interface EngineSnapshot {
  /** When it was taken, milliseconds on the engine's clock; `blocks` and `requests` use the same. */
  readonly time: number;
  readonly stats: EngineStats;
  readonly blocks: BlockMap;
  /** All that run or are paused; of those that wait, the first. A request whose grammar is being compiled is in `stats` only. */
  readonly requests: readonly SequenceProgress[];
}
