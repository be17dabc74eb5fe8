import type { EvictionPolicyName } from '../../kvcache/eviction/create-eviction.js';
import type { SchedulingPolicy } from '../../scheduler/policies.js';
import type { KvDtype } from '../attention/paged-attention.js';
import type { Dtype } from '../importer/variants.js';

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
  /** Which cached block is reused first. */
  readonly evictionPolicy: EvictionPolicyName;
  readonly schedulingPolicy: SchedulingPolicy;
  /** Tokens of one prompt in one step, at most; 0 leaves it to the budget. */
  readonly longPrefillThreshold: number;
  /** Share of the KV blocks whose lives are measured, 0 to 1. */
  readonly kvMetricsSampleRate: number;
  /** File to which every decision of the scheduler is appended; absent: none. */
  readonly traceSteps?: string;
  /** Where hashes of the model's files are remembered; absent: they are hashed at each start. */
  readonly hashCacheDir?: string;
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
