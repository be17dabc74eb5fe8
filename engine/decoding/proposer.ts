import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { PROPOSE_NOTHING, type Propose } from '../../scheduler/step-builder.js';
import type { PredictedTokens } from '../protocol/outputs.js';
import type { SpeculationStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';

/**
 * Proposes tokens to a decoder that checks them. Implementations: speculation, nothing, and plain
 * functions in tests.
 */
export interface Proposer {
  /** `PROPOSE_NOTHING` while no sequence could get a proposal. */
  readonly propose: Propose;
  /** Since the start; null for one that never proposes anything. */
  readonly stats: SpeculationStats | null;
  /**
   * Call when a sequence of the request begins.
   *
   * @param constraint of its output; null for none
   */
  begin(id: SequenceId, request: EngineRequest, constraint: TokenConstraint | null): void;
  /**
   * Call for each sequence that got tokens.
   *
   * @param proposals those that were computed in this step
   * @param tokenIds the accepted ones, and one more
   * @returns what the step made of the request's own prediction; null without one
   */
  decided(
    id: SequenceId,
    proposals: readonly TokenId[],
    tokenIds: readonly TokenId[],
  ): PredictedTokens | null;
  /** Call when all sequences of a step are decided. */
  endStep(): void;
  /** Call when a sequence has ended; also for those that never began. */
  end(id: SequenceId): void;
}

/** @returns one that proposes by a function alone */
export const proposerOf = (propose: Propose): Proposer => ({
  propose,
  stats: null,
  begin: () => undefined,
  decided: () => null,
  endStep: () => undefined,
  end: () => undefined,
});

export const NO_PROPOSER: Proposer = proposerOf(PROPOSE_NOTHING);
