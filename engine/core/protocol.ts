import type { ResidencySamples } from '../../kvcache/block-history.js';
import type { BlockMap } from '../../kvcache/block-map.js';
import type { RequestId, TokenId } from '../../scheduler/ids.js';
import type { SchedulingPolicy } from '../../scheduler/policies.js';
import type { SequenceProgress } from '../../scheduler/sequence.js';
import type { SequenceOutput } from '../../scheduler/step-plan.js';
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
  /** Share of the KV blocks whose lives are measured, 0 to 1. */
  readonly kvMetricsSampleRate: number;
  /** Absent: weights are multiplied as the model has them. */
  readonly quantize?: EngineQuantization;
}

/** W8A8: products of int8 weights and activations. */
export interface EngineQuantization {
  readonly kind: 'w8a8';
  /** Weights that are packed in 2, 4 or 8 bits too (MatMulNBits). */
  readonly nbits: boolean;
  /** Where rewritten models are kept. */
  readonly cacheDir: string;
}

/** What the engine has come to, once the model is loaded. */
export interface EngineInfo {
  readonly vocabSize: number;
  /** Width of the hidden states, and of embeddings. */
  readonly hiddenSize: number;
  /** Longest prompt plus output, in tokens. */
  readonly maxModelLength: number;
  readonly blockSize: number;
  readonly numBlocks: number;
  /** Tokens of one step, at most: what was asked for, or what the model's graph takes if that is less. */
  readonly maxNumBatchedTokens: number;
  /** Lines for the log: first which file was loaded and why, then what the importer did to it. */
  readonly modelNotes?: readonly string[];
}

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

/** How long a completion's first token took, in milliseconds on the engine's clock. */
export interface FirstTokenTimes {
  /** From its arrival to its first step. */
  readonly queued: number;
  /** From the beginning of its first step to its first token. */
  readonly prefill: number;
}

export interface EngineRequest {
  /** One id for each completion; their common prompt is computed once. Completion `i` samples with `seed + i`. */
  readonly ids: readonly RequestId[];
  /** At least one token. */
  readonly promptTokenIds: readonly TokenId[];
  /** Of each completion; with 0, only the prompt is computed. Without effect when `pooling` is set. */
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
  /**
   * The tokens with which the model ends a text; only read with a grammar, which needs one to end. When none of them is a stop token of the
   * request (`ignore_eos`), the text ends only where the grammar cannot go on.
   */
  readonly eosTokenIds: readonly TokenId[];
  /** The prompt's embedding is wanted instead of tokens: its last token's, or the mean of all; null generates. */
  readonly pooling: Pooling | null;
  /** Smaller is earlier. */
  readonly priority: number;
  /** Only requests with the same salt share cached blocks. */
  readonly cacheSalt: string | null;
  /** Who asks: clients share the threads that compile grammars. Only read with a grammar. */
  readonly client: string;
}

/** What a request says that wants nothing but tokens. */
export const PLAIN_REQUEST = {
  minTokens: 0,
  logprobs: null,
  promptLogprobs: null,
  grammar: null,
  eosTokenIds: [],
  pooling: null,
  priority: 0,
  cacheSalt: null,
  client: '',
} as const satisfies Partial<EngineRequest>;

export type Pooling = 'last' | 'mean';

/**
 * A language for the output, in the client's words. The text ends where the grammar does: with one of the request's stop tokens, which are
 * chosen nowhere else.
 */
export type GrammarSpec =
  | JsonSchemaSpec
  | JsonObjectSpec
  /** A regular expression for the whole text, an EBNF grammar (GBNF notation, rule `root`). */
  | { readonly kind: 'regex' | 'ebnf'; readonly source: string }
  /** One of these texts; at least one. */
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  /** Pieces one after the other: what is around JSON in a tool call, for instance. */
  | { readonly kind: 'structure'; readonly parts: readonly StructurePart[] };

export interface JsonSchemaSpec extends JsonForm {
  readonly kind: 'json-schema';
  /** The schema, as JSON text. */
  readonly source: string;
}

/** Any JSON object. */
export interface JsonObjectSpec extends JsonForm {
  readonly kind: 'json-object';
}

interface JsonForm {
  /** Without white space between its parts. Otherwise the model may write it, within bounds. */
  readonly compact?: boolean;
}

/**
 * A piece of a structured text. A call of one of two functions, in the way of Hermes, once or several times:
 *
 *     { kind: 'repeat', min: 1, max: null, separator: '\n', parts: [
 *       { kind: 'alternatives', of: [
 *         [{ kind: 'literal', text: '<tool_call>{"name": "a", "arguments": ' }, { kind: 'json-schema', source: schemaOfA },
 *          { kind: 'literal', text: '}</tool_call>' }],
 *         [...the same for b],
 *       ] },
 *     ] }
 */
export type StructurePart =
  /** Written with ordinary tokens: special tokens are never chosen under a grammar. */
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'regex'; readonly source: string }
  | JsonSchemaSpec
  | JsonObjectSpec
  /** One of several lists of parts; at least one list. */
  | { readonly kind: 'alternatives'; readonly of: readonly (readonly StructurePart[])[] }
  | {
      readonly kind: 'repeat';
      readonly parts: readonly StructurePart[];
      /** Text between two repetitions; may be empty. */
      readonly separator: string;
      readonly min: number;
      /** Null: as often as the model likes. */
      readonly max: number | null;
    };

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
export interface CompletionOutput extends SequenceOutput {
  /** With the first output that has tokens. */
  readonly times?: FirstTokenTimes;
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
  /** Computes nothing more for these completions until they are resumed. Those that have ended are left out, twice is once. */
  | { readonly type: 'pause'; readonly ids: readonly RequestId[] }
  | { readonly type: 'resume'; readonly ids: readonly RequestId[] }
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
      readonly outputs: readonly CompletionOutput[];
      readonly stats: EngineStats;
      /** Null when there was no step, only news of the figures. */
      readonly report: StepReport | null;
    }
  /** The request never entered the queue, or its grammar was lost on the way. */
  | { readonly type: 'refused'; readonly ids: readonly RequestId[]; readonly error: ErrorRecord }
  /** Answers `resetPrefixCache`, in the order of the commands. */
  | { readonly type: 'prefixCacheReset'; readonly done: boolean }
  /** While somebody watches; never within a step. */
  | { readonly type: 'snapshot'; readonly snapshot: EngineSnapshot }
  /** Final: the thread ends after it. */
  | { readonly type: 'failed'; readonly error: ErrorRecord };
