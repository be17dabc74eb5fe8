import type { ErrorRecord } from '../errors.js';
import type { GrammarSpec } from '../protocol/request.js';

/** What a grammar thread is started with. */
export interface GrammarThreadOptions {
  /** Where tokenizer.json is. */
  readonly modelDir: string;
  /** Of the logits; may be more than the tokenizer knows. */
  readonly vocabSize: number;
}

/**
 * A matcher takes a token, or takes its last ones back. `step` numbers the mask that this gives
 * (`MaskSlot`).
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
  /** `settled` is wanted, when all that was asked of the matcher before is done. */
  | { readonly type: 'settle'; readonly matcher: number }
  | { readonly type: 'release'; readonly matcher: number }
  | { readonly type: 'forget'; readonly grammar: number };

export type GrammarReply =
  /** The library and the vocabulary are loaded. */
  | { readonly type: 'ready' }
  /**
   * The grammar is written out, and its compilation begins: what of it is large, for the message if
   * that takes too long.
   */
  | { readonly type: 'written'; readonly size: string }
  | { readonly type: 'compiled'; readonly memoryBytes: number }
  /** The grammar does not compile; the thread is as good as before. */
  | { readonly type: 'refused'; readonly error: ErrorRecord }
  /** The first mask is in the slot. */
  | { readonly type: 'matching'; readonly matcher: number }
  | { readonly type: 'settled'; readonly matcher: number }
  /** The instance has aborted: the thread must be thrown away. */
  | { readonly type: 'aborted'; readonly reason: string };
