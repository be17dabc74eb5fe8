import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import type { Sequence } from '../sequence.js';

/** Names of the policies, in settings and traces. */
export const SCHEDULING_POLICIES = [
  'fcfs',
  'priority',
  'fair',
  'shortest',
  'longest-prefix',
] as const;

export type SchedulingPolicyName = (typeof SCHEDULING_POLICIES)[number];

/**
 * Holds the waiting sequences, decides which is served next, and in what order the running ones are
 * served: that of their ranks, which only the policy sets. The last one is the first to lose its
 * blocks.
 *
 * No sequence starves, whatever arrives after it: each policy states what bounds its wait. A policy
 * decides by what it was told and nothing else, so that a replayed trace takes the same decisions.
 * Each call costs O(log n) or less, n being the number of waiting sequences.
 */
export interface SchedulingPolicy {
  /** Number of waiting sequences. */
  readonly size: number;
  /** A sequence waits from now on: it is new, it was preempted, or it goes on after a pause. */
  add(sequence: Sequence): void;
  /**
   * A sequence does not wait any more: it runs, is paused, waits for blocks of a tier only, or was
   * aborted.
   *
   * @returns false when it did not wait
   */
  remove(sequence: Sequence): boolean;
  /** The sequence that is served next; undefined when none waits. It goes on waiting. */
  next(): Sequence | undefined;
  /** In no particular order. */
  [Symbol.iterator](): Iterator<Sequence>;
  /** A sequence is about to run, with the rank that it has afterwards until it is stopped. */
  started?(sequence: Sequence): void;
  /** A sequence that ran has ended, is paused, or was preempted. */
  stopped?(sequence: Sequence): void;
  /** A step computes the tokens `from` to `to - 1` of a running sequence. */
  computing?(sequence: Sequence, from: number, to: number): void;
  /** The blocks of a sequence from `first` to the last committed one can be found from now on. */
  cached?(blocks: SequenceBlocks, first: number): void;
  /** @throws Error that names the first contradiction. */
  checkIntegrity?(): void;
}
