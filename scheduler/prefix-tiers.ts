import type { BlockHash } from '../kvcache/ids.js';
import type { HasContent } from '../kvcache/prefix-lookup.js';
import type { GroupContent, LoadChoice } from '../kvcache/tier-contents.js';

/** What a sequence could take from tiers. */
export interface Wanted {
  /** Contents of its beginning that the pool does not have, those of the first tokens first. */
  readonly contents: readonly GroupContent[];
  /** Its tokens that the pool does not have. */
  readonly numTokens: number;
  /** What of the contents is worth loading when tiers have some of them. */
  readonly choose: (inTier: HasContent) => LoadChoice;
}

/**
 * The tiers behind the pool, as the scheduler sees them: host memory, disk, a server. They hold
 * contents that have left the pool. A content is near when the next step can copy it into pages;
 * what is farther is brought near first, while other sequences run. A sequence is known by its
 * `order`, which no other one ever has. All calls come from one thread, between two steps.
 */
export interface PrefixTiers {
  /**
   * Begins to bring contents near for a sequence. They stay near until `release`.
   *
   * @returns whether the sequence must wait for them; false when they are near already, when no
   *   tier has them, or when computing them is quicker
   */
  fetch(sequence: number, wanted: Wanted): boolean;
  /** Sequences that need not wait any more, whatever came of their fetch; each is named once. */
  takeArrived(): readonly number[];
  /** Whether a content is near for this sequence. */
  isNear(sequence: number, group: number, hash: BlockHash): boolean;
  /**
   * The sequence has what it needs, or has ended. What a plan loads (`StepPlan.blockLoads`) stays
   * near until its step has read it. Idempotent, and allowed without a fetch.
   */
  release(sequence: number): void;
}

/** The pool is the only place of contents. */
export const NO_TIERS: PrefixTiers = {
  fetch: () => false,
  takeArrived: () => [],
  isNear: () => false,
  release: () => undefined,
};
