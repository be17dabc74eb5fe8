import type { RequestId, TokenId } from '../../scheduler/ids.js';
import type { SchedulingPolicy } from '../../scheduler/policies.js';
import type { RequestOutput } from '../../scheduler/step-plan.js';
import type { KvDtype } from '../attention/paged-attention.js';
import type { ErrorRecord } from '../errors.js';
import type { Dtype } from '../importer/variants.js';
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
  /** Which of the directory's ONNX files; without it, the one that `auto` prefers. */
  readonly dtype?: Dtype | 'auto';
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
  /** Which file was loaded and why, and what the importer did to it: lines for the log. */
  readonly modelNotes?: readonly string[];
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
  /** Stop tokens are not chosen before so many tokens are there. */
  readonly minTokens: number;
  readonly sampling: SamplingParams;
  /** With each generated token, its log-probability and those of so many most likely ones; null: none. */
  readonly logprobs: number | null;
  /** The same for the prompt's tokens; null: none. */
  readonly promptLogprobs: number | null;
  /** What the output must follow; null: nothing. */
  readonly grammar: GrammarSpec | null;
  /** The prompt's embedding is wanted instead of tokens: its last token's, or the mean of all; null generates. */
  readonly pooling: Pooling | null;
  /** Smaller is earlier. */
  readonly priority: number;
  /** Only requests with the same salt share cached blocks. */
  readonly cacheSalt: string | null;
}

/** What a request says that wants nothing but tokens. */
export const PLAIN_REQUEST = {
  minTokens: 0,
  logprobs: null,
  promptLogprobs: null,
  grammar: null,
  pooling: null,
  priority: 0,
  cacheSalt: null,
} as const satisfies Partial<EngineRequest>;

export type Pooling = 'last' | 'mean';

/** A language for the output, as text: a JSON schema, a regular expression, an EBNF grammar (GBNF notation, rule `root`), or any JSON object. */
export type GrammarSpec =
  | { readonly kind: 'json-schema' | 'regex' | 'ebnf'; readonly source: string }
  | { readonly kind: 'json-object' };

/**
 * Log-probabilities at one place of a sequence: of the model's own distribution, before biases, penalties and temperature. Columns,
 * because messages with thousands of small objects are slow.
 */
export interface TokenLogprobs {
  /** Of the token that stands there. */
  readonly logprob: number;
  /** The most likely tokens, the likeliest first. */
  readonly topIds: readonly TokenId[];
  readonly topLogprobs: readonly number[];
}

/** What a step meant for one completion. */
export interface CompletionOutput extends RequestOutput {
  /** One for each of `tokenIds`; absent unless asked for. */
  readonly logprobs?: readonly TokenLogprobs[];
  /** With the first output of a request's first completion: one for each prompt token but the first. Absent unless asked for. */
  readonly promptLogprobs?: readonly TokenLogprobs[];
  /** `[hiddenSize]`, not normalised; with the one output of a request that has `pooling`. */
  readonly embedding?: Float32Array;
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
      readonly outputs: readonly CompletionOutput[];
      readonly stats: EngineStats;
    }
  /** The request never entered the queue. */
  | { readonly type: 'refused'; readonly ids: readonly RequestId[]; readonly error: ErrorRecord }
  /** Answers `resetPrefixCache`, in the order of the commands. */
  | { readonly type: 'prefixCacheReset'; readonly done: boolean }
  /** Final: the thread ends after it. */
  | { readonly type: 'failed'; readonly error: ErrorRecord };
