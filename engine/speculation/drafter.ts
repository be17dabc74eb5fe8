import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { SequenceSampler } from '../sampling/sequence-sampler.js';

/** What a drafter is told of a sequence when it begins. */
export interface DraftedSequence {
  /** As plans of the model's steps name it. */
  readonly id: SequenceId;
  readonly promptTokenIds: readonly TokenId[];
  /** Only sequences of the same key may learn from each other's texts. */
  readonly shareKey: string;
  /** Only sequences of the same salt may share K and V. */
  readonly cacheSalt: string | null;
  /** Maximum number of tokens of the output. */
  readonly maxTokens: number;
  /** Whether tokens of the prompt stand for images. */
  readonly hasImages: boolean;
  /** The client's own guess of the output; absent: none. */
  readonly prediction?: readonly TokenId[];
  /**
   * A sampler at the beginning of the output, which chooses from logits as the sequence's own does,
   * with the same random numbers, but knows no grammar. The caller owns it.
   *
   * @param vocabSize of its logits; what the request says of other tokens is left out
   */
  createSampler(vocabSize: number): SequenceSampler;
}

/** How far a draft can be trusted: drafts of one class are expected to hold equally often. */
export const DRAFT_CLASSES = ['short', 'medium', 'long', 'computed'] as const;

export type DraftClass = (typeof DRAFT_CLASSES)[number];

export interface Draft {
  /** May be empty. */
  readonly tokenIds: readonly TokenId[];
  readonly class: DraftClass;
}

export const NO_DRAFT: Draft = { tokenIds: [], class: 'short' };

/** Of a sequence that is not drafted behind. */
export const DRAFTS_NOTHING: ComputedDrafter = {
  room: 0,
  behind: 0,
  ready: 0,
  extend: () => undefined,
  draft: () => NO_DRAFT,
  end: () => undefined,
};

/**
 * Guesses how sequences go on. A guess costs time when it is wrong and never changes a text, so a
 * drafter is free in what it guesses from, within `DraftedSequence.shareKey`.
 *
 * Implementations: lookup in the sequence's own tokens, in outputs of others that have ended, and
 * in the client's prediction; and a smaller model, or layers on the model's hidden rows
 * (`ComputingDrafter`).
 */
export interface Drafter {
  begin(sequence: DraftedSequence): SequenceDrafter;
}

/**
 * A drafter that computes: those of all sequences together, before the step is planned. A sequence
 * has the drafts that were computed for it, until its text departs from them.
 */
export interface ComputingDrafter extends Drafter {
  begin(sequence: DraftedSequence): ComputedDrafter;
  /**
   * Computes drafts, or as much of them as there is memory for. Call it between two steps, and not
   * again before it has resolved.
   *
   * @param lengths of the drafts of sequences that decode in the next step; all others give back
   *   the memory that they hold
   */
  compute(lengths: ReadonlyMap<ComputedDrafter, number>): Promise<void>;
  /** Forgets what sequences that have ended left behind. Call it while none is alive. */
  resetCache(): void;
  /** @throws Error when sequences and blocks are inconsistent */
  checkIntegrity(): void;
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

/** The same of one that computes its drafts. */
export interface ComputedDrafter extends SequenceDrafter {
  /** Maximum length of a draft: what is left of the output, or of the drafter's context. */
  readonly room: number;
  /** Tokens that must be computed before the first one is drafted, besides the last known one. */
  readonly behind: number;
  /** Length of the draft that is there. */
  readonly ready: number;
}
