import type { TokenId } from '../../scheduler/ids.js';
import type { AppliedUpdate, FinishReason } from '../../scheduler/step-plan.js';

/**
 * Log-probabilities at one position of a sequence, of the model's own distribution, before biases,
 * penalties and temperature. Stored as columns, because messages with thousands of small objects
 * are slow.
 */
export interface TokenLogprobs {
  /** Log-probability of the token at this position. */
  readonly logprob: number;
  /**
   * The most likely tokens, in falling order; or for a request with `logprobTokenIds`, the token at
   * this position, and those without it, in the request's order.
   */
  readonly topIds: readonly TokenId[];
  readonly topLogprobs: readonly number[];
}

/** What is new of one sequence: what a step has made of it, or that it was aborted. */
export interface SequenceOutput extends Omit<AppliedUpdate, 'finishReason'> {
  readonly finishReason: FinishReason | 'abort' | null;
  /** Present in the first output that has tokens. */
  readonly times?: FirstTokenTimes;
  /** One for each of `tokenIds`; absent unless asked for. */
  readonly logprobs?: readonly TokenLogprobs[];
  /**
   * One for each prompt token but the first; absent unless asked for. Like the embedding, it is a
   * result of the request: the first output of each of its sequences has it, and all have the same
   * one.
   */
  readonly promptLogprobs?: readonly TokenLogprobs[];
  /** One for each of the request's `labels`, of the model's own distribution. */
  readonly labelLogprobs?: readonly number[];
  /** What this step made of the request's prediction; absent: it computed none of it. */
  readonly predicted?: PredictedTokens;
  /** `[hiddenSize]`, not normalized; in the only output of a request with `pooling`. */
  readonly embedding?: Float32Array;
}

/** Tokens of a request's prediction that were computed before they were decided. */
export interface PredictedTokens {
  readonly accepted: number;
  readonly rejected: number;
}

/** Durations until a sequence's first token, in milliseconds on the engine's clock. */
export interface FirstTokenTimes {
  /** From the request's arrival to its first step. */
  readonly queued: number;
  /** From the beginning of its first step to its first token. */
  readonly prefill: number;
}
