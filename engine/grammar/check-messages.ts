import type { ErrorRecord } from '../errors.js';
import type { GrammarSpec } from '../protocol/request.js';

/** A grammar to check, and how to word its error for the client. */
export interface GrammarCheck {
  readonly spec: GrammarSpec;
  /**
   * The request field of the grammar: it precedes the error's message, and is its `param`. Null for
   * neither.
   */
  readonly field: string | null;
  /**
   * Parts of the grammar. When it is refused, they are tried one by one, and the first that is
   * refused alone provides the message.
   */
  readonly suspects: readonly Suspect[];
}

export interface Suspect {
  readonly spec: GrammarSpec;
  /** Precedes the message. */
  readonly name: string;
  readonly param: string;
}

/** All checks of one request, in order. */
export interface CheckCommand {
  readonly checks: readonly GrammarCheck[];
}

export interface CheckVerdict {
  /** Null when all grammars can be enforced. */
  readonly refusal: ErrorRecord | null;
}
