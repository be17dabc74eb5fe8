import type { TokenId } from '../../scheduler/ids.js';
import type { OctavoError } from '../errors.js';
import type { GrammarSpec } from '../protocol/request.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';

export interface GrammarRequest {
  readonly spec: GrammarSpec;
  /** Whose share of the threads it takes. */
  readonly client: string;
  /** Completions: each has a state of its own. */
  readonly count: number;
  /** Tokens that end a text; all of them are allowed exactly where the grammar may end. */
  readonly stopTokenIds: readonly TokenId[];
  /** The model's own; at least one. */
  readonly eosTokenIds: readonly TokenId[];
  /** The text ends only where it cannot go on (`ignore_eos`), instead of anywhere where it may end. */
  readonly isLongest: boolean;
}

/**
 * Turns grammars into constraints for the sampler, off the step loop. Implementations: threads with the grammar library, and scripted
 * ones in tests.
 */
export interface GrammarSource {
  /**
   * @returns one constraint for each completion, whose first mask is known
   * @throws OctavoError `invalid_request` when the grammar does not compile, and what of it
   */
  constrain(request: GrammarRequest, signal: AbortSignal): Promise<readonly GrammarConstraint[]>;
  /** Ends its threads. Idempotent. */
  close(): Promise<void>;
}

export interface GrammarConstraint extends TokenConstraint {
  /**
   * Set by `mask` when there is none, for whatever reason. `mask` gives null then, and the completion must not go on: what it gets after that
   * is not what was asked for.
   */
  readonly failure: OctavoError | null;
}
