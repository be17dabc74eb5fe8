import { NO_REUSE_HINT, type ReuseHint } from '../../kvcache/sequence-blocks.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { SamplingParams } from '../sampling/sampling-params.js';

export interface EngineRequest {
  /** One id for each completion; their common prompt is computed once. Completion `i` samples with `seed + i`. */
  readonly ids: readonly SequenceId[];
  /** At least one token. */
  readonly promptTokenIds: readonly TokenId[];
  /** Of each completion; with 0, only the prompt is computed. Without effect when `pooling` is set. */
  readonly maxTokens: number;
  /** A token of this list ends a completion with `stop`. It is the last id of the final output. */
  readonly stopTokenIds: readonly TokenId[];
  /** Stop tokens are not chosen before so many tokens are there. */
  readonly minTokens: number;
  readonly sampling: SamplingParams;
  /** With each generated token, its log-probability and those of so many most likely ones; null: none. */
  readonly logprobs: number | null;
  /** The same for the prompt's tokens; null: none. */
  readonly promptLogprobs: number | null;
  /** What the output must follow; null: nothing. */
  readonly grammar: GrammarSpec | null;
  /**
   * The tokens with which the model ends a text; only read with a grammar, which needs one to end. When none of them is a stop token of the
   * request (`ignore_eos`), the text ends only where the grammar cannot go on.
   */
  readonly eosTokenIds: readonly TokenId[];
  /** The prompt's embedding is wanted instead of tokens: its last token's, or the mean of all; null generates. */
  readonly pooling: Pooling | null;
  /** Smaller is earlier. */
  readonly priority: number;
  /** Only requests with the same salt share cached blocks. */
  readonly cacheSalt: string | null;
  /** What it says about who will ask for its prefix again; only eviction by `predicted` reads it. */
  readonly reuse: ReuseHint;
  /** Who asks: clients share the threads that compile grammars. Only read with a grammar. */
  readonly client: string;
}

/** What a request says that wants nothing but tokens. */
export const PLAIN_REQUEST = {
  minTokens: 0,
  logprobs: null,
  promptLogprobs: null,
  grammar: null,
  eosTokenIds: [],
  pooling: null,
  priority: 0,
  cacheSalt: null,
  reuse: NO_REUSE_HINT,
  client: '',
} as const satisfies Partial<EngineRequest>;

export type Pooling = 'last' | 'mean';

/**
 * A language for the output, in the client's words. The text ends where the grammar does: with one of the request's stop tokens, which are
 * chosen nowhere else.
 */
export type GrammarSpec =
  | JsonSchemaSpec
  | JsonObjectSpec
  /** A regular expression for the whole text, an EBNF grammar (GBNF notation, rule `root`). */
  | { readonly kind: 'regex' | 'ebnf'; readonly source: string }
  /** One of these texts; at least one. */
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  /** Pieces one after the other: what is around JSON in a tool call, for instance. */
  | { readonly kind: 'structure'; readonly parts: readonly StructurePart[] };

export interface JsonSchemaSpec extends JsonForm {
  readonly kind: 'json-schema';
  /** The schema, as JSON text. */
  readonly source: string;
}

/** Any JSON object. */
export interface JsonObjectSpec extends JsonForm {
  readonly kind: 'json-object';
}

interface JsonForm {
  /** Without white space between its parts. Otherwise the model may write it, within bounds. */
  readonly compact?: boolean;
}

/**
 * A piece of a structured text. A call of one of two functions, in the way of Hermes, once or several times:
 *
 *     { kind: 'repeat', min: 1, max: null, separator: '\n', parts: [
 *       { kind: 'alternatives', of: [
 *         [{ kind: 'literal', text: '<tool_call>{"name": "a", "arguments": ' }, { kind: 'json-schema', source: schemaOfA },
 *          { kind: 'literal', text: '}</tool_call>' }],
 *         [...the same for b],
 *       ] },
 *     ] }
 */
export type StructurePart =
  /** Written with ordinary tokens: special tokens are never chosen under a grammar. */
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'regex'; readonly source: string }
  | JsonSchemaSpec
  | JsonObjectSpec
  /** One of several lists of parts; at least one list. */
  | { readonly kind: 'alternatives'; readonly of: readonly (readonly StructurePart[])[] }
  | {
      readonly kind: 'repeat';
      readonly parts: readonly StructurePart[];
      /** Text between two repetitions; may be empty. */
      readonly separator: string;
      readonly min: number;
      /** Null: as often as the model likes. */
      readonly max: number | null;
    };
