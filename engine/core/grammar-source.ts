import type { TokenId } from '../../scheduler/ids.js';
import type { OctavoError } from '../errors.js';
import type { GrammarSpec } from '../protocol/request.js';
import type { TokenConstraint } from '../sampling/token-constraint.js';

export interface GrammarRequest {
  readonly spec: GrammarSpec;
  /** The client whose share of the threads is used. */
  readonly client: string;
  /** Number of sequences; each has its own state. */
  readonly count: number;
  /** Tokens that end a text; all of them are allowed exactly where the grammar may end. */
  readonly stopTokenIds: readonly TokenId[];
  /** The model's own end tokens; at least one. */
  readonly eosTokenIds: readonly TokenId[];
  /**
   * Whether the text ends only where it cannot continue (`ignore_eos`), instead of wherever it may
   * end.
   */
  readonly isLongest: boolean;
}

/**
 * Compiles grammars to constraints for the sampler, outside the step loop. Implementations: threads
 * with the grammar library, and scripted ones in tests.
 */
export interface GrammarSource {
  /**
   * @returns one constraint for each sequence, once its first mask is known
   * @throws OctavoError `invalid_request` when the grammar does not compile; names the reason
   */
  constrain(request: GrammarRequest, signal: AbortSignal): Promise<readonly GrammarConstraint[]>;
  /** Ends its threads. Idempotent. */
  close(): Promise<void>;
}

export interface GrammarConstraint extends TokenConstraint {
  /**
   * Set by `mask` when it cannot provide a mask, for whatever reason. `mask` then returns null, and
   * the sequence must end: further tokens would not follow the grammar.
   */
  readonly failure: OctavoError | null;
}
