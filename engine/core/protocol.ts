import type { RequestId, TokenId } from '../../scheduler/ids.js';
import type { SchedulingPolicy } from '../../scheduler/policies.js';
import type { RequestOutput } from '../../scheduler/step-plan.js';
import type { KvDtype } from '../attention/paged-attention.js';
import type { ErrorRecord } from '../errors.js';
import type { SamplingParams } from '../sampling/sampling-params.js';

/** Everything an engine thread is started with. Plain data: it crosses a thread border. */
export interface EngineOptions {
  /** Directory in the layout of a Hugging Face ONNX model. */
  readonly modelDir: string;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly kvCacheBytes: number;
  readonly kvDtype: KvDtype;
  /** Null: what the model was made for. */
  readonly maxModelLength: number | null;
  /** For ONNX Runtime and the attention alike, the engine thread included. */
  readonly threads: number;
  readonly enablePrefixCaching: boolean;
  readonly schedulingPolicy: SchedulingPolicy;
  /** Tokens of one prompt in one step, at most; 0 leaves it to the budget. */
  readonly longPrefillThreshold: number;
}

/** What the engine has come to, once the model is loaded. */
export interface EngineInfo {
  readonly vocabSize: number;
  /** Longest prompt plus output, in tokens. */
  readonly maxModelLength: number;
  readonly blockSize: number;
  readonly numBlocks: number;
}

/** The newest figures of an engine; sent with every step. */
export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  /** Since the start. */
  readonly preemptions: number;
  readonly usedBlocks: number;
  /** Since the start. */
  readonly steps: number;
}

export interface EngineRequest {
  /** One id for each completion; their common prompt is computed once. Completion `i` samples with `seed + i`. */
  readonly ids: readonly RequestId[];
  /** At least one token. */
  readonly promptTokenIds: readonly TokenId[];
  /** Of each completion; at least 1. */
  readonly maxTokens: number;
  /** A token of this list ends a completion with `stop`. It is the last id of the final output. */
  readonly stopTokenIds: readonly TokenId[];
  readonly sampling: SamplingParams;
  /** Smaller is earlier. */
  readonly priority: number;
  /** Only requests with the same salt share cached blocks. */
  readonly cacheSalt: string | null;
}

export type EngineCommand =
  | { readonly type: 'submit'; readonly request: EngineRequest }
  | { readonly type: 'abort'; readonly id: RequestId }
  | { readonly type: 'resetPrefixCache' }
  | { readonly type: 'close' };

export type EngineMessage =
  | { readonly type: 'ready'; readonly info: EngineInfo; readonly stats: EngineStats }
  | {
      readonly type: 'step';
      readonly outputs: readonly RequestOutput[];
      readonly stats: EngineStats;
    }
  /** The request never entered the queue. */
  | { readonly type: 'refused'; readonly ids: readonly RequestId[]; readonly error: ErrorRecord }
  /** Answers `resetPrefixCache`, in the order of the commands. */
  | { readonly type: 'prefixCacheReset'; readonly done: boolean }
  /** Final: the thread ends after it. */
  | { readonly type: 'failed'; readonly error: ErrorRecord };
