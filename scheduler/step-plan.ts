import type { BlockId } from '../kvcache/ids.js';
import type { BlockCopy } from '../kvcache/kv-cache-manager.js';
import type { RequestId, TokenId } from './ids.js';

/**
 * What one step computes: plain data, decided by `Scheduler.schedule()` and executed by someone else.
 * Arrays belong to the scheduler and stay unchanged until `apply()`.
 */
export interface StepPlan {
  /** Rows of the batch, in order. Never empty. */
  readonly sequences: readonly ScheduledSequence[];
  /** Tokens of all sequences together: the rows of every linear layer. */
  readonly numTokens: number;
  /** To be done in this order before anything is written. */
  readonly blockCopies: readonly BlockCopy[];
}

/**
 * A piece of one sequence:
 *
 *     tokens  |<-- numComputed: in the cache -->|<-- computed in this step -->|<-- later steps -->|
 */
export interface ScheduledSequence {
  readonly requestId: RequestId;
  /** The tokens that are computed in this step; at least one. */
  readonly tokenIds: readonly TokenId[];
  /** Tokens whose K and V are in the cache already: also the position of the first of `tokenIds`. */
  readonly numComputed: number;
  /** All tokens that the sequence has now, prompt and generated, computed or not. */
  readonly sequenceLength: number;
  /** Covers `numComputed + tokenIds.length` tokens. */
  readonly blocks: readonly BlockId[];
  /**
   * Who gets a token from the last row's logits: nobody in the middle of a prompt, else the request itself, and with it
   * its siblings when the prompt that they share is done.
   */
  readonly samplers: readonly RequestId[];
}

/** The token that was chosen for a sampler of the plan. */
export interface SampledToken {
  readonly requestId: RequestId;
  readonly tokenId: TokenId;
}

export type FinishReason = 'stop' | 'length' | 'abort';

/** What a step meant for one request. */
export interface RequestOutput {
  readonly requestId: RequestId;
  readonly tokenIds: readonly TokenId[];
  readonly finishReason: FinishReason | null;
  /** Prompt tokens that were found in the prefix cache when the request was first scheduled. */
  readonly cachedTokens: number;
}
