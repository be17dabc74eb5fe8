import type { SamplingParams } from '../engine/sampling/sampling-params.js';
import type { RequestId, TokenId } from '../scheduler/ids.js';

/**
 * The server's view of an engine: tokens in, tokens out. Text, HTTP and templates stay on this side of it.
 * Implementations: the worker thread that runs a model, and scripted engines in tests.
 */
export interface Engine {
  readonly info: EngineInfo;
  /** The newest figures that the engine has sent; they may be one step old. */
  readonly stats: EngineStats;
  /** `failed` is final: every request in flight has been told, and new ones are refused. */
  readonly state: 'ready' | 'failed';
  /**
   * Runs a request. Outputs come in order, as the steps end, and the last one has a finish reason. Ending the iteration early
   * (`break`) or aborting `signal` stops the request within one step and frees its blocks; after an
   * aborted signal the iteration ends with the finish reason `abort`.
   *
   * Outputs that nobody reads yet are kept: at most `maxTokens` token ids a request.
   *
   * @throws OctavoError `context_length_exceeded`, `invalid_request` before the first output; `engine_failed` at any time
   */
  submit(request: EngineRequest, signal?: AbortSignal): AsyncIterable<EngineOutput>;
  /** Aborts what runs and ends the engine's threads. Idempotent. */
  close(): Promise<void>;
}

export interface EngineInfo {
  readonly vocabSize: number;
  /** Longest prompt plus output in tokens. */
  readonly maxModelLength: number;
  readonly blockSize: number;
  readonly numBlocks: number;
}

export interface EngineRequest {
  readonly id: RequestId;
  /** At least one token, at most `maxModelLength - 1`. */
  readonly promptTokenIds: readonly TokenId[];
  /** At least 1. */
  readonly maxTokens: number;
  /** A token of this list ends the request with `stop`. It is the last id of the final output. */
  readonly stopTokenIds: readonly TokenId[];
  readonly sampling: SamplingParams;
}

export interface EngineOutput {
  /** New token ids since the last output; may be empty in the final one after an abort. */
  readonly tokenIds: readonly TokenId[];
  readonly finishReason: 'stop' | 'length' | 'abort' | null;
  /** Prompt tokens whose K and V came from the prefix cache; known from the first output on. */
  readonly cachedTokens: number;
}

export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  readonly usedBlocks: number;
  readonly steps: number;
}
