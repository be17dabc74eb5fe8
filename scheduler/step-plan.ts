import type { BlockId } from '../kvcache/ids.js';
import type { BlockCopy } from '../kvcache/kv-cache-manager.js';
import type { SequenceId, TokenId } from './ids.js';

/**
 * What one step computes: plain data, decided by `Scheduler.schedule()` and executed by the runner.
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
 *     tokens  |<-- numComputed: in the cache -->|<----- computed in this step ----->|<-- later steps -->|
 *                                               |<-- known -->|<-- numProposed -->|
 */
export interface ScheduledSequence {
  /** Of a sequence that stands for several, while their common prompt is computed: the first. */
  readonly id: SequenceId;
  /** The tokens that are computed in this step; at least one is known. */
  readonly tokenIds: readonly TokenId[];
  /** The last ones of `tokenIds` that are a guess: they follow the sequence's last known token. */
  readonly numProposed: number;
  /** Tokens whose K and V are in the cache already: also the position of the first of `tokenIds`. */
  readonly numComputed: number;
  /** All tokens that the sequence has now, prompt and generated, computed or not; proposals are not counted. */
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
  /** The adapter that computes these tokens; null: the model alone. */
  readonly adapter: string | null;
  /**
   * The sequences that get tokens from this step's last `numProposed + 1` rows: none in the middle of a prompt, else the
   * sequence itself, and with it its siblings when the prompt that they share is done.
   */
  readonly sampledFor: readonly SequenceId[];
}

/** What was decided for a sequence of the plan. */
export interface SequenceUpdate {
  readonly id: SequenceId;
  /**
   * The tokens that follow: the proposals that were accepted, in order, and one that was chosen from the row of the last of them.
   * Empty: nothing could be decided yet, and a later step computes the row of its last token again.
   */
  readonly tokenIds: readonly TokenId[];
  /** New sequences that continue this one as it was before `tokenIds`, each with tokens of its own. */
  readonly forks?: readonly Pick<SequenceUpdate, 'id' | 'tokenIds'>[];
  /** It ends here, without an output: a beam that was given up. */
  readonly drop?: boolean;
}

/** Why a sequence has ended by itself: a stop token, or as many tokens as it may have. */
export type FinishReason = 'stop' | 'length';

/** An update as it was applied: up to what has ended the sequence. */
export interface AppliedUpdate {
  readonly id: SequenceId;
  readonly tokenIds: readonly TokenId[];
  readonly finishReason: FinishReason | null;
  /** The stop token that has ended the sequence: the last of `tokenIds`. Absent: none has. */
  readonly stopToken?: TokenId;
  /** Prompt tokens that were found in the prefix cache when the request was first scheduled. */
  readonly cachedTokens: number;
}
