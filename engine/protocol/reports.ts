import type { ResidencySamples } from '../../kvcache/block-history.js';
import type { BlockMap } from '../../kvcache/block-map.js';
import type { SequenceProgress } from '../../scheduler/sequence.js';

/** Places of contents that have left the pages of the KV cache. */
export type TierName = 'memory' | 'disk' | 'redis';

/** What a tier says of itself, since the start. */
export interface TierState {
  readonly name: TierName;
  /** False while it is given up because of failures: it then has nothing and keeps nothing. */
  readonly isUp: boolean;
  /** False while nothing is written to it because of failures; it may still be read. */
  readonly isWritable: boolean;
  /** Contents that it holds, as far as it knows. */
  readonly blocks: number;
  /** Bytes that it holds, and that it may hold. */
  readonly bytes: number;
  readonly capacityBytes: number;
  /** Contents that were loaded from it, and that it has kept. */
  readonly loaded: number;
  readonly stored: number;
  /** Contents that it was to load and could not: damaged, foreign or gone in the meantime. */
  readonly failed: number;
  /** Contents that it was to keep and has not. */
  readonly dropped: number;
}

/** Figures of a tier since the start; the receiver owns them. */
export interface TierStats extends TierState {
  /** Contents that sequences have asked it for, and those of them that it had. */
  readonly asked: number;
  readonly found: number;
  /** Loads from it, and the milliseconds that they have taken, waiting included. */
  readonly loads: number;
  readonly loadMs: number;
  /** Contents that wait to be written to it. */
  readonly queued: number;
}

/** Speculation since the start. */
export interface SpeculationStats {
  /** Steps of sequences that computed drafted tokens, and these tokens. */
  readonly drafts: number;
  readonly draftTokens: number;
  /** Those of them that were right, by their place in the draft. */
  readonly acceptedAt: readonly number[];
}

/** Which adapters have requests that run, and requests that wait. */
export interface AdapterUse {
  readonly running: readonly string[];
  readonly waiting: readonly string[];
}

/** The latest figures of an engine; sent with every step. */
export interface EngineStats {
  readonly running: number;
  /** Those that wait for blocks from tiers included. */
  readonly waiting: number;
  readonly loading: number;
  /** Sequences that neither run nor wait until their readers have read. */
  readonly paused: number;
  /** Since the start. */
  readonly preemptions: number;
  readonly usedBlocks: number;
  /** Those of them that pinned prefixes hold, whether sequences use them or not; absent: none. */
  readonly pinnedBlocks?: number;
  /** Since the start. */
  readonly steps: number;
  /** Absent: nothing was drafted yet. */
  readonly speculation?: SpeculationStats;
  /** Names of adapters with requests; absent for an engine that takes none. */
  readonly adapters?: AdapterUse;
  /** Tiers behind the pages of the KV cache, the nearest first; absent: there are none. */
  readonly tiers?: readonly TierStats[];
}

/**
 * Milliseconds of a step by phase; the rest of `total` is JavaScript around the calls of ONNX
 * Runtime.
 */
export interface StepTimings {
  /** Computing drafts, before all else; absent where none are computed. */
  readonly draft?: number;
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
