import type { SequenceId } from '../../scheduler/ids.js';
import type { ErrorRecord } from '../errors.js';
import type { EngineInfo } from './options.js';
import type { SequenceOutput } from './outputs.js';
import type { EngineSnapshot, EngineStats, StepReport } from './reports.js';
import type { EngineRequest } from './request.js';

export type EngineCommand =
  | { readonly type: 'submit'; readonly request: EngineRequest }
  | { readonly type: 'abort'; readonly id: SequenceId }
  /** Computes nothing more for these completions until they are resumed. Those that have ended are left out, twice is once. */
  | { readonly type: 'pause'; readonly ids: readonly SequenceId[] }
  | { readonly type: 'resume'; readonly ids: readonly SequenceId[] }
  | { readonly type: 'resetPrefixCache' }
  /** On: snapshots from now on, the first at once or when it is due. Once more when it is on already: another one. */
  | { readonly type: 'watch'; readonly on: boolean }
  | { readonly type: 'close' };

export type EngineMessage =
  /** Before `ready`, any number of times: weights are being rewritten for the model cache; bytes of all that there are. */
  | { readonly type: 'converting'; readonly done: number; readonly total: number }
  | { readonly type: 'ready'; readonly info: EngineInfo; readonly stats: EngineStats }
  | {
      readonly type: 'step';
      readonly outputs: readonly SequenceOutput[];
      readonly stats: EngineStats;
      /** Null when there was no step, only news of the figures. */
      readonly report: StepReport | null;
    }
  /** The request never entered the queue, or its grammar was lost on the way. */
  | { readonly type: 'refused'; readonly ids: readonly SequenceId[]; readonly error: ErrorRecord }
  /** Answers `resetPrefixCache`, in the order of the commands. */
  | { readonly type: 'prefixCacheReset'; readonly done: boolean }
  /** While somebody watches; never within a step. */
  | { readonly type: 'snapshot'; readonly snapshot: EngineSnapshot }
  /** Final: the thread ends after it. */
  | { readonly type: 'failed'; readonly error: ErrorRecord };
