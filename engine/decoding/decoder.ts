import type { SequenceId } from '../../scheduler/ids.js';
import type { Propose } from '../../scheduler/step-builder.js';
import type { ScheduledSequence, SequenceUpdate } from '../../scheduler/step-plan.js';
import type { TokenLogprobs } from '../protocol/outputs.js';
import type { SequenceSampler } from '../sampling/sequence-sampler.js';
import type { LogitsQueryBuilder } from './logits-query-builder.js';
import type { StepAnswer } from './step-answer.js';

/** What decides about one sequence. */
export interface SampledSequence {
  readonly sampler: SequenceSampler;
  /** How many of the most likely tokens come with each chosen one; null: no log-probabilities. */
  readonly numLogprobs: number | null;
}

/**
 * Decides how sequences go on. For each step the engine core calls, in this order: `held` and `propose` while the step is
 * planned, `ask` once for each sequence of the plan, and `decide` with what the model has answered.
 *
 * Implementations: sampling. Beam search decides by forks and drops.
 */
export interface Decoder {
  /** Guesses the next tokens of a sequence; see `Propose`. */
  readonly propose: Propose;
  /** Sequences about which nothing could be decided, and still cannot: the next step is made without them. */
  held(): ReadonlySet<SequenceId>;
  /** Resolves when one of those that are held can go on. To be called while there is one. */
  whenReady(): Promise<void>;
  /**
   * Asks for what the decision about a sequence takes.
   *
   * @param firstRow the step's row of the first of `sequence.tokenIds`
   * @param sampled one for each of `sequence.sampledFor`
   */
  ask(
    builder: LogitsQueryBuilder,
    sequence: ScheduledSequence,
    firstRow: number,
    sampled: readonly SampledSequence[],
  ): void;
  /** Decides all that was asked since the last call. One update for each of the plan's `sampledFor`, in the plan's order. */
  decide(answer: StepAnswer): Decision;
  /** A sequence has ended. */
  forget(id: SequenceId): void;
}

export interface Decision {
  readonly updates: readonly SequenceUpdate[];
  /** One for each of an update's tokens; absent for sequences that did not ask for them. */
  readonly logprobs: ReadonlyMap<SequenceId, readonly TokenLogprobs[]>;
}
