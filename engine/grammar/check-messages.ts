import type { ErrorRecord } from '../errors.js';
import type { GrammarSpec } from '../protocol/request.js';

/** A grammar that is to be checked, and how to tell the client what is wrong with it. */
export interface GrammarCheck {
  readonly spec: GrammarSpec;
  /**
   * The request field that it is of: it goes before the message, and is its `param`. Null: the
   * message stands alone.
   */
  readonly field: string | null;
  /**
   * Parts of it. When it is refused, they are tried one by one, and the first that is refused alone
   * gives the message its words.
   */
  readonly suspects: readonly Suspect[];
}

export interface Suspect {
  readonly spec: GrammarSpec;
  /** Goes before the message. */
  readonly name: string;
  readonly param: string;
}

/** All checks of one request, in their order. */
export interface CheckCommand {
  readonly checks: readonly GrammarCheck[];
}

export type CheckReply =
  /** The thread has loaded: from now on time is counted. */
  | { readonly type: 'ready' }
  /**
   * What of the grammar is large, before anything of it is built: for the message, if it takes too
   * long.
   */
  | { readonly type: 'measured'; readonly sizes: string }
  | { readonly type: 'checked'; readonly error: ErrorRecord | null };
