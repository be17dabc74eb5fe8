import type { BlockId } from '../kvcache/ids.js';
import type { BlockCopy } from '../kvcache/kv-cache-config.js';
import type { BlockLoad } from '../kvcache/tier-contents.js';
import type { SequenceId, TokenId } from './ids.js';
import type { PromptContent } from './sequence.js';

/**
 * What one step computes: plain data, decided by `Scheduler.schedule()` and executed by the runner.
 * Arrays belong to the scheduler and stay unchanged until `apply()`.
 */
export interface StepPlan {
  /** Rows of the batch, in order. Never empty. */
  readonly sequences: readonly ScheduledSequence[];
  /** Tokens of all sequences together: the rows of every linear layer. */
  readonly numTokens: number;
  /** Must be done in this order, before anything is written. */
  readonly blockCopies: readonly BlockCopy[];
  /**
   * Contents of tiers that must be in their blocks after the copies and before anything is written
   * or read; absent: none.
   */
  readonly blockLoads?: readonly BlockLoad[];
}

/**
 * A piece of one sequence:
 *
 *     tokens  |<-- numComputed -->|<----- computed in this step ----->|<-- later steps -->|
 *                                 |<-- known -->|<-- numProposed -->|
 *
 * K and V of the first `numComputed` tokens are in the cache.
 */
export interface ScheduledSequence {
  /**
   * The sequence's id; the first id of a sequence that stands for several while their common prompt
   * is computed.
   */
  readonly id: SequenceId;
  /** The tokens that are computed in this step; at least one is known. */
  readonly tokenIds: readonly TokenId[];
  /** Number of proposed tokens at the end of `tokenIds`, after the sequence's last known token. */
  readonly numProposed: number;
  /**
   * Number of tokens whose K and V are already in the cache; also the position of `tokenIds[0]`.
   */
  readonly numComputed: number;
  /**
   * Number of all tokens of the sequence, prompt and generated, computed or not, without proposals.
   */
  readonly sequenceLength: number;
  /**
   * `[group]`: covers `numComputed + tokenIds.length` tokens; `NO_BLOCK` where no token reads any
   * more.
   *
   * The table of a recurrent group ends with the known tokens. The step begins with the state in
   * the block of token `numComputed - 1`, and leaves the state behind each block's last known token
   * in that block, where the table has one. Sequences in order: one may begin with a state that an
   * earlier one leaves behind in the same step.
   */
  readonly blockTables: readonly (readonly BlockId[])[];
  /**
   * Contents that tokens of the sequence stand for, in the order of their tokens; absent: none. Of
   * a bidirectional one, the step computes all tokens that are not cached.
   */
  readonly contents?: readonly PromptContent[];
  /** Content of the adapter that computes these tokens; null for the model alone. */
  readonly adapter: string | null;
  /**
   * The sequences that get tokens from this step's last `numProposed + 1` rows: none in the middle
   * of a prompt, else the sequence itself, and with it its siblings when the prompt that they share
   * is done.
   */
  readonly sampledFor: readonly SequenceId[];
}

/** The decision for a sequence of the plan. */
export interface SequenceUpdate {
  readonly id: SequenceId;
  /**
   * The next tokens: the accepted proposals in order, and one token that was chosen from the row of
   * the last of them. Empty when no decision was possible yet; a later step then computes the row
   * of the last token again.
   */
  readonly tokenIds: readonly TokenId[];
  /**
   * New sequences that continue this one as it was before `tokenIds`, each with tokens of its own.
   */
  readonly forks?: readonly Pick<SequenceUpdate, 'id' | 'tokenIds'>[];
  /** Whether the sequence ends without an output, like a dropped beam. */
  readonly drop?: boolean;
}

/**
 * Why a sequence has ended by itself: a stop token, as many tokens as it may have, or a pattern of
 * tokens that it has written over and over.
 */
export type FinishReason = 'stop' | 'length' | 'repetition';

/** An update as it was applied: up to what has ended the sequence. */
export interface AppliedUpdate {
  readonly id: SequenceId;
  readonly tokenIds: readonly TokenId[];
  readonly finishReason: FinishReason | null;
  /** The stop token that has ended the sequence: the last of `tokenIds`. Absent: none has. */
  readonly stopToken?: TokenId;
  /** Prompt tokens that were found in the prefix cache when the request was first scheduled. */
  readonly cachedTokens: number;
  /** Those of them that came from a tier behind the pool; absent: none. */
  readonly tierTokens?: number;
  /**
   * With the end of a request that pins its prompt: the tokens that stay, whole blocks; 0 when they
   * do not fit any more.
   */
  readonly pinnedTokens?: number;
}
