import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { PROPOSE_NOTHING, type Propose } from '../../scheduler/step-builder.js';
import type { PredictedTokens } from '../protocol/outputs.js';
import type { SpeculationStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';

/** @param decoding running sequences whose prompts are computed */
export type Prepare = (decoding: readonly SequenceId[]) => Promise<void>;

/**
 * Proposes tokens to a decoder that checks them. Implementations: speculation, nothing, and plain
 * functions in tests.
 */
export interface Proposer {
  /** `PROPOSE_NOTHING` while no sequence could get a proposal. */
  readonly propose: Propose;
  /**
   * Computes what `propose` will return, of sequences that are likely to be asked for; call it
   * before each step. Null for one whose proposals need no such work.
   */
  readonly prepare: Prepare | null;
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
  /** Forgets what is kept of the prompts of sequences that have ended. Call it while none lives. */
  resetCache(): void;
  /** @throws Error when its state is inconsistent */
  checkIntegrity(): void;
}

/** @returns one that proposes by a function alone */
export const proposerOf = (propose: Propose): Proposer => ({
  propose,
  prepare: null,
  stats: null,
  begin: () => undefined,
  decided: () => null,
  endStep: () => undefined,
  end: () => undefined,
  resetCache: () => undefined,
  checkIntegrity: () => undefined,
});

export const NO_PROPOSER: Proposer = proposerOf(PROPOSE_NOTHING);
