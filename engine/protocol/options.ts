import type { EvictionPolicyName } from '../../kvcache/eviction/create-eviction.js';
import type { SchedulingPolicyName } from '../../scheduler/policies/scheduling-policy.js';
import type { CacheDtype, KvDtype } from '../attention/paged-attention.js';
import type { DeviceFloats } from '../importer/passes/half-matmuls.js';
import type { Dtype } from '../importer/variants.js';
import type { EncoderTask, PoolingMode, ScoreActivation } from './encoding.js';

/** What computes a model: this machine's CPU, or a GPU through WebGPU or CUDA. */
export type DeviceName = 'cpu' | 'webgpu' | 'cuda';

/** A GPU, as far as it is known. */
export interface DeviceFacts {
  readonly name: string;
  /** Null: not known, or shared with the processor. */
  readonly memoryBytes: number | null;
}

/** Options of an engine thread. Plain data, because it crosses a thread boundary. */
export interface EngineOptions {
  /** Directory in the layout of a Hugging Face model: an ONNX file or safetensors. */
  readonly modelDir: string;
  /** Whether the model is an encoder, which reads a text at once; absent: it is a decoder. */
  readonly isEncoder?: boolean;
  /** Of an encoder's rows; absent: as the model's files say. */
  readonly pooling?: PoolingMode;
  /** What computes; absent for the CPU. */
  readonly device?: DeviceName;
  /**
   * Where the cache on a device is: a part of the graph, or tensors beside it. Absent: as the
   * device needs it. For tests of CUDA's form where there is no CUDA.
   */
  readonly deviceCache?: 'initializers' | 'tensors';
  /** Default: as they are. */
  readonly deviceFloats?: DeviceFloats;
  /** The GPU, for those who ask the engine. */
  readonly deviceFacts?: DeviceFacts;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly kvCacheBytes: number;
  /** Which of the directory's ONNX files is used; default `auto`. */
  readonly dtype?: Dtype | 'auto';
  /** The ONNX or safetensors file in the directory; absent: it is found by `dtype` and its name. */
  readonly file?: string;
  /** Absent: float32 on the CPU; a GPU has one format, and takes none. */
  readonly kvDtype?: KvDtype;
  /** Null for the model's own context length. */
  readonly maxModelLength: number | null;
  /** Number of threads of ONNX Runtime, and of the attention including the engine thread. */
  readonly threads: number;
  readonly enablePrefixCaching: boolean;
  /** Whether changes of the prefix cache are sent to the engine's listeners; absent for not. */
  readonly cacheEvents?: boolean;
  /**
   * The order in which cached blocks are reused. Absent: `predicted`, and `cost-aware` for a model
   * with recurrent layers.
   */
  readonly evictionPolicy?: EvictionPolicyName;
  /** Where cached blocks go that are reused; absent: nowhere. Needs prefix caching. */
  readonly tiers?: TierOptions;
  readonly schedulingPolicy: SchedulingPolicyName;
  /** Of predicted lengths, by which sequences are admitted, less than 1; absent, or 0: by none. */
  readonly admissionQuantile?: number;
  /** How tokens are drafted; absent: only those that clients predict are. */
  readonly speculation?: SpeculationOptions;
  /** Maximum number of tokens of one prompt in one step; 0 for no limit but the step's budget. */
  readonly longPrefillThreshold: number;
  /** Fraction of KV blocks that are sampled for metrics, 0 to 1. */
  readonly kvMetricsSampleRate: number;
  /** Whether it replaces an engine of the same options that has failed. */
  readonly isRestart?: boolean;
  /** File to which every decision of the scheduler is appended; absent for none. */
  readonly traceSteps?: string;
  /** Directory in which hashes of the model's files are kept; absent to hash them at each start. */
  readonly hashCacheDir?: string;
  /**
   * Directory of rewritten models, where weights of 16 bits are kept as float32; absent: they are
   * widened in memory at each start.
   */
  readonly modelCacheDir?: string;
  /** Absent for an engine without adapters. */
  readonly lora?: LoraOptions;
  /** Absent to use the model's weights as they are. */
  readonly quantize?: EngineQuantization;
  /** Of weights in blocks of 4 or 8 bits (`Activations`), on the CPU; absent: exact. */
  readonly activations?: 'int8' | 'exact';
}

/** A Redis or Valkey server, or a cluster of them. */
/** Files in PEM form; absent: what Node.js trusts, and no certificate of one's own. */
export interface TlsFiles {
  /** Certificates of the authorities that may have signed the server's. */
  readonly ca?: string;
  /** The certificate that the server is shown, and its key: both or none. */
  readonly cert?: string;
  readonly key?: string;
}

export interface RedisTierSettings {
  /** With user and password, where the server wants them. */
  readonly url: string;
  readonly keyPrefix: string;
  /** Seconds after its last use that a content stays. */
  readonly ttlSeconds: number;
  /** Bytes of this model's contents, whichever server has written them. */
  readonly capacityBytes: number;
  /** For a `rediss://` URL. */
  readonly tls?: TlsFiles;
}

/** The tiers behind the pages of the KV cache. */
export interface TierOptions {
  /** Bytes of host memory; it is needed for farther tiers, too, where contents arrive in it. */
  readonly hostMemoryBytes: number;
  readonly disk?: { readonly directory: string; readonly capacityBytes: number };
  readonly redis?: RedisTierSettings;
}

/** How tokens are drafted. */
export type SpeculationOptions = LookupSpeculation | ModelSpeculation | LayerSpeculation;

/** Drafts by looking for what has been said before. */
export interface LookupSpeculation {
  /** `ngram` looks into the sequence's own text, `suffix` into outputs that have ended, too. */
  readonly method: 'ngram' | 'suffix';
  /** Maximum length of a draft. */
  readonly maxDraftTokens: number;
  /** Equal tokens that make a match, at least, and as far as they are compared. */
  readonly least: number;
  readonly longest: number;
}

/** Drafts by a smaller model with the same tokens. */
export interface ModelSpeculation {
  readonly method: 'draft_model';
  /** Maximum length of a draft. */
  readonly maxDraftTokens: number;
  /** Where it is. Its tokenizer has been compared. */
  readonly model: ModelPlace;
}

/** Drafts by layers on the model's hidden rows, which were trained for it. */
export type LayerSpeculation = EagleSpeculation | MtpSpeculation;

/** By those of a checkpoint of their own. */
export interface EagleSpeculation {
  readonly method: 'eagle';
  /** Maximum length of a draft. */
  readonly maxDraftTokens: number;
  readonly model: ModelPlace;
}

/** By the prediction head of the model's own checkpoint. */
export interface MtpSpeculation {
  readonly method: 'mtp';
  /** Maximum length of a draft. */
  readonly maxDraftTokens: number;
}

export function draftsByLayers(
  speculation: SpeculationOptions | undefined,
): speculation is LayerSpeculation {
  return speculation?.method === 'eagle' || speculation?.method === 'mtp';
}

/** Where a model is. */
export interface ModelPlace {
  /** Its directory, or its GGUF file. */
  readonly dir: string;
  /** Of the directory's files the one with the weights; absent: the engine chooses. */
  readonly file?: string;
}

/** LoRA adapters that an engine serves, and takes while it runs. */
export interface LoraOptions {
  /** Loaded at the start. */
  readonly adapters: readonly AdapterSource[];
  /** Most adapters in memory at one time. */
  readonly maxLoras: number;
  /** Largest rank of a matrix. */
  readonly maxRank: number;
}

/** An adapter as requests name it, and its content, by which blocks are hashed. */
export interface AdapterRef {
  readonly name: string;
  readonly contentHash: string;
}

/** A loaded adapter. Plain data: it crosses a thread boundary. */
export interface AdapterInfo extends AdapterRef {
  readonly directory: string;
  readonly baseModel: string | null;
  readonly rank: number;
  /** Memory that it takes. */
  readonly bytes: number;
}

export interface AdapterSource {
  readonly name: string;
  /** Directory that PEFT has written. */
  readonly directory: string;
}

/** How weights of floats are stored and multiplied (`Quantization`). */
export interface EngineQuantization {
  readonly kind: 'w8a8' | 'q8' | 'q4' | 'auto';
  /** Whether weights that are packed in 2, 4 or 8 bits (MatMulNBits) are quantized, too. */
  readonly nbits: boolean;
  /** Directory of rewritten models. */
  readonly cacheDir: string;
  /** File of texts by which `q4` and `q8` are rounded; absent: each group of weights by itself. */
  readonly calibrate?: string;
}

/** What an encoder is for. It generates no text. */
export interface EncoderInfo {
  /** A vector for each text, or scores for each pair of texts; `hiddenSize` says how many. */
  readonly task: EncoderTask;
  /** What the model makes of its logits; absent for vectors. */
  readonly activation?: ScoreActivation;
}

/** Facts about an engine with a loaded model. */
export interface EngineInfo {
  readonly vocabSize: number;
  /** Width of the hidden states, and of embeddings. */
  readonly hiddenSize: number;
  /** Maximum length of prompt plus output, in tokens. */
  readonly maxModelLength: number;
  readonly blockSize: number;
  /** 0 for an encoder, which keeps no cache. */
  readonly numBlocks: number;
  readonly evictionPolicy: EvictionPolicyName;
  /** Absent for a decoder. */
  readonly encoder?: EncoderInfo;
  /** Whether prompts may have images; absent for not. */
  readonly takesImages?: boolean;
  /** Layers of features that images have besides rows; absent for none. */
  readonly numDeepstack?: number;
  readonly device: DeviceName;
  /** Absent on the CPU. */
  readonly deviceFacts?: DeviceFacts;
  /** How keys and values are stored. */
  readonly kvDtype: CacheDtype;
  /**
   * Maximum number of tokens of one step: the option's value, or the limit of the model's graph if
   * that is lower.
   */
  readonly maxNumBatchedTokens: number;
  /** Lines for the log: the file that was loaded and why, then what the importer did. */
  readonly modelNotes?: readonly string[];
}
