import type { TokenId } from '../../scheduler/ids.js';
import type { SequenceOutput } from '../../scheduler/step-plan.js';

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
  /** `[hiddenSize]`, not normalized; with the one output of a request that has `pooling`. */
  readonly embedding?: Float32Array;
}

/** How long a completion's first token took, in milliseconds on the engine's clock. */
export interface FirstTokenTimes {
  /** From its arrival to its first step. */
  readonly queued: number;
  /** From the beginning of its first step to its first token. */
  readonly prefill: number;
}
