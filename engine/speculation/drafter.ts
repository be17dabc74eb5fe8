import type { TokenId } from '../../scheduler/ids.js';

/** What a drafter is told of a sequence when it begins. */
export interface DraftedSequence {
  readonly promptTokenIds: readonly TokenId[];
  /** Only sequences of the same key may learn from each other's texts. */
  readonly shareKey: string;
  /** The client's own guess of the output; absent: none. */
  readonly prediction?: readonly TokenId[];
}

/** How far a draft can be trusted: drafts of one class are expected to hold equally often. */
export const DRAFT_CLASSES = ['short', 'medium', 'long'] as const;

export type DraftClass = (typeof DRAFT_CLASSES)[number];

export interface Draft {
  /** May be empty. */
  readonly tokenIds: readonly TokenId[];
  readonly class: DraftClass;
}

export const NO_DRAFT: Draft = { tokenIds: [], class: 'short' };

/**
 * Guesses how sequences go on. A guess costs time when it is wrong and never changes a text, so a
 * drafter is free in what it guesses from, within `DraftedSequence.shareKey`.
 *
 * Implementations: lookup in the sequence's own tokens, in outputs of others that have ended, and
 * in the client's prediction.
 */
export interface Drafter {
  begin(sequence: DraftedSequence): SequenceDrafter;
}

/** A drafter's state for one sequence. */
export interface SequenceDrafter {
  /** Appends tokens that were decided. */
  extend(tokenIds: readonly TokenId[]): void;
  /** At most `most` tokens that may come next; changes nothing that a later call returns. */
  draft(most: number): Draft;
  /** Called once, when the sequence has ended for whatever reason. */
  end(): void;
}
