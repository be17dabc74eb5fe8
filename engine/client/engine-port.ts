import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { SequenceId } from '../../scheduler/ids.js';
import type { AdapterInfo, EngineInfo } from '../protocol/options.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { EngineSnapshot, EngineStats, StepReport } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';

/**
 * The main thread's interface to an engine: tokens in, tokens out. Text, templates and HTTP stay on
 * the caller's side. Implementations: the worker thread that runs a model, and scripted engines in
 * tests.
 */
export interface Engine {
  readonly info: EngineInfo;
  /** The latest figures from the engine; they may be one step old. */
  readonly stats: EngineStats;
  /**
   * Number of failed engines that were replaced since the start; absent for engines that are never
   * replaced.
   */
  readonly restarts?: number;
  /**
   * Calls `listener` for every later step, in order. It must not throw.
   *
   * @returns what ends it
   */
  onStep(listener: (report: StepReport) => void): () => void;
  /**
   * Calls `listener` with every later change of the prefix cache, in order: after each step that
   * made some. Only engines that were started with `cacheEvents` have any. It must not throw.
   *
   * @returns what ends it
   */
  onCacheEvents(listener: (events: readonly CacheEvent[]) => void): () => void;
  /**
   * Calls `listener` with blocks and requests, soon and then after changes, at most four times a
   * second. Snapshots are taken only while there are listeners. They are shared, so listeners must
   * not change them, and must not throw.
   *
   * @returns what ends it
   */
  watch(listener: (snapshot: EngineSnapshot) => void): () => void;
  /**
   * New requests are refused while `restarting` and when `failed`, which is final. Requests in
   * flight have been failed by then.
   */
  readonly state: 'ready' | 'restarting' | 'failed';
  /**
   * Runs a request. Each of its sequences (`request.ids`) is a separate stream. Outputs arrive in
   * order, as steps end, and the last one has a finish reason. Leaving the iteration early
   * (`break`) or aborting `signal` ends the sequence within one step and frees its blocks; after an
   * abort, the iteration ends with the finish reason `abort`.
   *
   * The request runs from now on, so every stream must be iterated or the signal be aborted. Unread
   * outputs are kept: at most `maxTokens` tokens for each sequence, with everything that was asked
   * for. To keep less, pause the sequences.
   *
   * @param meter counts what is kept
   * @returns one stream for each id, in their order
   * @throws OctavoError in each iteration: `context_length_exceeded`, `invalid_request` before the
   *   first output; `engine_failed` at any time
   */
  submit(
    request: EngineRequest,
    signal?: AbortSignal,
    meter?: OutputMeter,
  ): readonly AsyncIterable<SequenceOutput>[];
  /**
   * Computes nothing more for these sequences until `resume`, from the next step on; others get
   * their share meanwhile. Sequences that have ended, or do not run yet, are ignored: a caller that
   * still gets outputs must call again.
   */
  pause(ids: readonly SequenceId[]): void;
  resume(ids: readonly SequenceId[]): void;
  /**
   * Lets a prefix go that a request has pinned (`EngineRequest.pin`); it stays cached until its
   * blocks are needed. Nothing happens when nothing has this name.
   */
  unpin(name: string): void;
  /** LoRA adapters; absent for an engine that takes none. */
  readonly adapters?: EngineAdapters | undefined;
  /**
   * Calls `listener` whenever a failed engine has been replaced: what it had cached is gone, and
   * requests are taken again. Absent for engines that are never replaced. It must not throw.
   */
  onRestart?(listener: () => void): void;
  /**
   * Drops all cached prefixes, pinned ones, too. Resolves to false, without any change, while
   * requests use blocks.
   *
   * @param tiers whether the tiers behind the pages forget theirs, too; default: they keep them
   * @throws OctavoError `kv_tier_not_cleared` when one does not answer
   */
  resetPrefixCache(tiers?: boolean): Promise<boolean>;
  /** Aborts running requests and ends the engine's threads. Idempotent. */
  close(): Promise<void>;
}

/** The LoRA adapters of an engine, which requests name (`EngineRequest.adapter`). */
export interface EngineAdapters {
  /** Those that new requests may name. */
  readonly list: readonly AdapterInfo[];
  /**
   * Loads an adapter from a directory that PEFT has written.
   *
   * @param inPlace whether it takes the place of one of this name
   * @throws OctavoError `adapter_invalid`, `adapter_exists`, `adapters_full`
   */
  load(name: string, directory: string, inPlace?: boolean): Promise<AdapterInfo>;
  /**
   * New requests cannot name it any more; those that run keep it to their end.
   *
   * @throws OctavoError `adapter_not_found`
   */
  unload(name: string): Promise<void>;
}

/** Counts bytes of outputs (`output-size.ts`) between the engine and its reader. */
export interface OutputMeter {
  /** Called when outputs arrive. */
  add(bytes: number): void;
  /** Called when they have been read or dropped. */
  release(bytes: number): void;
}
