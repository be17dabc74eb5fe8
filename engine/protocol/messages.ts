import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { SequenceId } from '../../scheduler/ids.js';
import type { ErrorRecord } from '../errors.js';
import type { AdapterInfo, EngineInfo } from './options.js';
import type { SequenceOutput } from './outputs.js';
import type { EngineSnapshot, EngineStats, StepReport } from './reports.js';
import type { EngineRequest } from './request.js';

export type EngineCommand =
  | { readonly type: 'submit'; readonly request: EngineRequest }
  | { readonly type: 'abort'; readonly id: SequenceId }
  /**
   * Stops computing these sequences until they are resumed. Sequences that have ended are ignored;
   * repeating it has no effect.
   */
  | { readonly type: 'pause'; readonly ids: readonly SequenceId[] }
  | { readonly type: 'resume'; readonly ids: readonly SequenceId[] }
  /** Lets a pinned prefix go. Nothing happens when nothing has this name. */
  | { readonly type: 'unpin'; readonly name: string }
  /** Answered by `adapterDone`, in the order of the commands; the same for the next. */
  | {
      readonly type: 'loadAdapter';
      readonly name: string;
      readonly directory: string;
      readonly inPlace: boolean;
    }
  | { readonly type: 'unloadAdapter'; readonly name: string }
  /** `tiers`: what is behind the pages is forgotten, too. */
  | { readonly type: 'resetPrefixCache'; readonly tiers: boolean }
  /**
   * When on, snapshots are sent, the first at once or when it is due. Sending it again when it is
   * on asks for another snapshot.
   */
  | { readonly type: 'watch'; readonly on: boolean }
  | { readonly type: 'close' };

export type EngineMessage =
  /**
   * Sent any number of times before `ready`, while weights are rewritten for the model cache: what
   * is done, in words, and bytes so far and in total.
   */
  | {
      readonly type: 'converting';
      readonly what: string;
      readonly done: number;
      readonly total: number;
    }
  /** What the engine does before `ready`, in words, where it takes long. */
  | { readonly type: 'note'; readonly line: string }
  /** A line that the operator should see; sent at any time. */
  | { readonly type: 'warning'; readonly line: string }
  | {
      readonly type: 'ready';
      readonly info: EngineInfo;
      readonly stats: EngineStats;
      /** Those that are loaded; absent for an engine that takes none. */
      readonly adapters?: readonly AdapterInfo[];
    }
  | {
      readonly type: 'step';
      readonly outputs: readonly SequenceOutput[];
      readonly stats: EngineStats;
      /** Null when there was no step, only new figures. */
      readonly report: StepReport | null;
    }
  /** The request never entered the queue, or its grammar failed later. */
  | { readonly type: 'refused'; readonly ids: readonly SequenceId[]; readonly error: ErrorRecord }
  /** Answers `resetPrefixCache`, in the order of the commands. */
  | {
      readonly type: 'prefixCacheReset';
      /** False: blocks are in use, and nothing was forgotten. */
      readonly done: boolean;
      /** The pages are empty, but a tier is not. */
      readonly error?: ErrorRecord;
    }
  /** Answers `loadAdapter` and `unloadAdapter`: what is loaded now, or why nothing has changed. */
  | {
      readonly type: 'adapterDone';
      readonly adapters: readonly AdapterInfo[];
      readonly error?: ErrorRecord;
    }
  /** Changes of the prefix cache: after each step, or reset, that made some. */
  | { readonly type: 'cacheEvents'; readonly events: readonly CacheEvent[] }
  /** Sent while snapshots are on, never within a step. */
  | { readonly type: 'snapshot'; readonly snapshot: EngineSnapshot }
  /** Final: the thread ends after it. */
  | { readonly type: 'failed'; readonly error: ErrorRecord };
