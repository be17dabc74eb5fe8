import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { Propose } from '../../scheduler/step-builder.js';
import type { FinishReason, ScheduledSequence, SequenceUpdate } from '../../scheduler/step-plan.js';
import type { PredictedTokens, TokenLogprobs } from '../protocol/outputs.js';
import type { SpeculationStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { SequenceSampler } from '../sampling/sequence-sampler.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';
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
  /** Tokens whose log-probabilities are returned instead of those; null for none. */
  readonly logprobTokenIds: readonly TokenId[] | null;
}

/**
 * Decides how sequences continue. For each step, the engine core calls, in this order: `held` and
 * `propose` while it plans the step, `ask` once for each sequence of the plan, and `decide` with
 * the model's answer.
 *
 * Implementations: sampling, beam search, and one that sends each request to its own of the two.
 */
export interface Decoder {
  /** Proposes the next tokens of a sequence; see `Propose`. It changes from step to step. */
  readonly propose: Propose;
  /** Null for one that never proposes anything. */
  readonly speculation: SpeculationStats | null;
  /**
   * Call when a sequence of the request begins; forks begin by themselves.
   *
   * @param constraint of its output; null for none
   */
  begin(id: SequenceId, request: EngineRequest, constraint: TokenConstraint | null): void;
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
  /**
   * Call when an output of a search is not wanted any more.
   *
   * @returns the sequences that end with it; null when no search makes this output
   */
  abandon(output: SequenceId): readonly SequenceId[] | null;
}

export interface Decision {
  readonly updates: readonly SequenceUpdate[];
  /** One for each of an update's tokens; absent for sequences that did not ask for them. */
  readonly logprobs: ReadonlyMap<SequenceId, readonly TokenLogprobs[]>;
  /** Of sequences whose request has a prediction, when some of it was computed; absent: none. */
  readonly predicted?: ReadonlyMap<SequenceId, PredictedTokens>;
  /** Searches that are over; absent: none. */
  readonly searches?: readonly EndedSearch[];
}

/** A search that has found its outputs. */
export interface EndedSearch {
  /** All that it went through; the core ends them. Unknown ones are possible. */
  readonly sequences: readonly SequenceId[];
  readonly outputs: readonly FoundOutput[];
}

/** One output of a search, whole. */
export interface FoundOutput {
  readonly id: SequenceId;
  readonly tokenIds: readonly TokenId[];
  /** One for each token, with at least as many of the most likely ones as were asked for. */
  readonly logprobs: readonly TokenLogprobs[];
  readonly finishReason: FinishReason;
}
