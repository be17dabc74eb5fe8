import type { ErrorRecord } from '../errors.js';
import type { GrammarSpec } from '../protocol/request.js';

/** Data with which a grammar thread is started. */
export interface GrammarThreadOptions {
  /** Directory of tokenizer.json. */
  readonly modelDir: string;
  /** Number of logits; may exceed the number of tokens in the tokenizer. */
  readonly vocabSize: number;
}

/**
 * A matcher accepts a token, or takes its last ones back. `step` is the number of the resulting
 * mask (`MaskSlot`).
 */
export type MatcherMove = { readonly matcher: number; readonly step: number } & (
  | { readonly token: number }
  | { readonly rollback: number }
);

export type GrammarCommand =
  | { readonly type: 'compile'; readonly grammar: number; readonly spec: GrammarSpec }
  | {
      readonly type: 'match';
      readonly grammar: number;
      readonly matcher: number;
      /** A `MaskSlot`. */
      readonly slot: SharedArrayBuffer;
      readonly stopTokenIds: readonly number[];
      readonly eosTokenIds: readonly number[];
      readonly isLongest: boolean;
    }
  | { readonly type: 'advance'; readonly moves: readonly MatcherMove[] }
  /** Asks for `settled` once all earlier requests to the matcher are done. */
  | { readonly type: 'settle'; readonly matcher: number }
  | { readonly type: 'release'; readonly matcher: number }
  | { readonly type: 'forget'; readonly grammar: number };

export type GrammarReply =
  /** The library and the vocabulary are loaded. */
  | { readonly type: 'ready' }
  /**
   * The grammar is written out, and its compilation begins. `size` is for the message, if that
   * takes too long.
   */
  | { readonly type: 'written'; readonly size: string }
  | { readonly type: 'compiled'; readonly memoryBytes: number }
  /** The grammar does not compile; the thread can go on. */
  | { readonly type: 'refused'; readonly error: ErrorRecord }
  /** The first mask is in the slot. */
  | { readonly type: 'matching'; readonly matcher: number }
  | { readonly type: 'settled'; readonly matcher: number }
  /** The instance has aborted; the thread must be ended. */
  | { readonly type: 'aborted'; readonly reason: string };
