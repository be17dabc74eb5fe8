import type { SequenceId } from '../../scheduler/ids.js';
import type { Propose } from '../../scheduler/step-builder.js';
import type { ScheduledSequence, SequenceUpdate } from '../../scheduler/step-plan.js';
import type { PredictedTokens, TokenLogprobs } from '../protocol/outputs.js';
import type { SpeculationStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { SequenceSampler } from '../sampling/sequence-sampler.js';
import type { LogitsQueryBuilder } from './logits-query-builder.js';
import type { StepAnswer } from './step-answer.js';

/** What the decoder knows about one sequence. */
export interface SampledSequence {
  readonly sampler: SequenceSampler;
  /**
   * Number of most likely tokens that are returned with each chosen one; null for no
   * log-probabilities.
   */
  readonly numLogprobs: number | null;
}

/**
 * Decides how sequences continue. For each step, the engine core calls, in this order: `held` and
 * `propose` while it plans the step, `ask` once for each sequence of the plan, and `decide` with
 * the model's answer.
 *
 * Implementation: sampling. Beam search decides by forks and drops (test/support/beam-decoder.ts).
 */
export interface Decoder {
  /** Proposes the next tokens of a sequence; see `Propose`. It changes from step to step. */
  readonly propose: Propose;
  /** Null for one that never proposes anything. */
  readonly speculation: SpeculationStats | null;
  /** Call when a sequence of the request begins; forks begin by themselves. */
  begin(id: SequenceId, request: EngineRequest): void;
  /** Sequences that cannot be decided yet; the next step leaves them out. */
  held(): ReadonlySet<SequenceId>;
  /** Resolves when one of the held sequences can continue. Call it only while there is one. */
  whenReady(): Promise<void>;
  /**
   * Adds to the query what the decision about a sequence needs.
   *
   * @param firstRow the step's row of `sequence.tokenIds[0]`
   * @param sampled one entry for each of `sequence.sampledFor`
   */
  ask(
    builder: LogitsQueryBuilder,
    sequence: ScheduledSequence,
    firstRow: number,
    sampled: readonly SampledSequence[],
  ): void;
  /**
   * Decides everything asked for since the last call. Returns one update for each of the plan's
   * `sampledFor`, in the plan's order.
   */
  decide(answer: StepAnswer): Decision;
  /** Call when a sequence has ended. */
  forget(id: SequenceId): void;
}

export interface Decision {
  readonly updates: readonly SequenceUpdate[];
  /** One for each of an update's tokens; absent for sequences that did not ask for them. */
  readonly logprobs: ReadonlyMap<SequenceId, readonly TokenLogprobs[]>;
  /** Of sequences whose request has a prediction, when some of it was computed; absent: none. */
  readonly predicted?: ReadonlyMap<SequenceId, PredictedTokens>;
}
