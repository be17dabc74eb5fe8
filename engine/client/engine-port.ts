import type { SequenceId } from '../../scheduler/ids.js';
import type { EngineInfo } from '../protocol/options.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { EngineSnapshot, EngineStats, StepReport } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';

/**
 * An engine as the main thread sees it: tokens in, tokens out. Text, templates and HTTP stay on this side of it.
 * Implementations: the worker thread that runs a model, and scripted engines in tests.
 */
export interface Engine {
  readonly info: EngineInfo;
  /** The newest figures that the engine has sent; they may be one step old. */
  readonly stats: EngineStats;
  /** How often a failed engine was replaced, since the start; absent where none ever is. */
  readonly restarts?: number;
  /**
   * Calls `listener` for every step from now on, in order. It must not throw.
   *
   * @returns what ends it
   */
  onStep(listener: (report: StepReport) => void): () => void;
  /**
   * Calls `listener` with blocks and requests, soon and then whenever they have changed, at most four times a second. Snapshots are taken
   * only while somebody watches. They are shared: nobody may change them. It must not throw.
   *
   * @returns what ends it
   */
  watch(listener: (snapshot: EngineSnapshot) => void): () => void;
  /** While `restarting`, and from `failed` on, which is final, new requests are refused; those in flight have been told. */
  readonly state: 'ready' | 'restarting' | 'failed';
  /**
   * Runs a request. Each of its sequences (`request.ids`) is a stream of its own. Outputs come in order, as the steps end,
   * and the last one has a finish reason. Ending the iteration early (`break`) or aborting `signal` stops the sequence within
   * one step and frees its blocks; after an aborted signal the iteration ends with the finish reason `abort`.
   *
   * The request runs from now on, so every stream must be iterated or the signal be aborted. Outputs that nobody reads yet are
   * kept: at most `maxTokens` tokens a sequence, with all that was asked for of each. Who wants less kept pauses the sequences.
   *
   * @param meter told of what is kept
   * @returns one stream for each id, in their order
   * @throws OctavoError in each iteration: `context_length_exceeded`, `invalid_request` before the first output;
   *   `engine_failed` at any time
   */
  submit(
    request: EngineRequest,
    signal?: AbortSignal,
    meter?: OutputMeter,
  ): readonly AsyncIterable<SequenceOutput>[];
  /**
   * Computes nothing more for these sequences until `resume`, from the next step on; others get their share meanwhile. Those that have
   * ended, or do not run yet, are left out: whoever still gets outputs asks again.
   */
  pause(ids: readonly SequenceId[]): void;
  resume(ids: readonly SequenceId[]): void;
  /** Forgets all cached prefixes. Resolves to false, with nothing changed, while blocks are in use. */
  resetPrefixCache(): Promise<boolean>;
  /** Aborts what runs and ends the engine's threads. Idempotent. */
  close(): Promise<void>;
}

/** Counts bytes of outputs (`output-size.ts`) between the engine and their reader. */
export interface OutputMeter {
  /** Outputs have come. */
  add(bytes: number): void;
  /** They have been read, or thrown away. */
  release(bytes: number): void;
}
