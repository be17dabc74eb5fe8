import { NO_REUSE_HINT, type ReuseHint } from '../../kvcache/sequence-blocks.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { RepetitionLimit } from '../../scheduler/repetition.js';
import type { SamplingParams } from '../sampling/sampling-params.js';
import type { ThinkingLimit } from '../sampling/thinking-budget.js';
import type { PromptImage } from './prompt-image.js';

export interface EngineRequest {
  /**
   * One id for each sequence; their common prompt is computed once. Sequence `i` samples with
   * `seed + i`.
   */
  readonly ids: readonly SequenceId[];
  /** At least one token. */
  readonly promptTokenIds: readonly TokenId[];
  /**
   * Maximum number of tokens of each sequence; with 0, only the prompt is computed. Ignored when
   * `pooling` is set.
   */
  readonly maxTokens: number;
  /** A token of this list ends a sequence with `stop`. It is the last id of the final output. */
  readonly stopTokenIds: readonly TokenId[];
  /** Stop tokens are masked until this many tokens have been generated. */
  readonly minTokens: number;
  /** When a sequence that repeats itself ends, with `repetition`; absent: it goes on. */
  readonly repetition?: RepetitionLimit;
  readonly sampling: SamplingParams;
  /**
   * Number of most likely tokens that are returned with each generated token's log-probability;
   * null for none.
   */
  readonly logprobs: number | null;
  /**
   * With `logprobs`: log-probabilities of these tokens are returned in place of the most likely
   * ones, whatever their rank, behind that of the generated token. Absent: the most likely ones.
   */
  readonly logprobTokenIds?: readonly TokenId[];
  /** The same for the prompt's tokens; null for none. */
  readonly promptLogprobs: number | null;
  /** How long it may think; absent: any time. */
  readonly thinking?: ThinkingLimit;
  /** Grammar of the output; null for none. */
  readonly grammar: GrammarSpec | null;
  /**
   * The model's end tokens; read only with a grammar, which needs one to end. When none of them is
   * a stop token of the request (`ignore_eos`), the text ends only where the grammar cannot
   * continue.
   */
  readonly eosTokenIds: readonly TokenId[];
  /**
   * Asks for the prompt's embedding instead of tokens: the last token's, or the mean of all;
   * `model` for what an encoder makes of it; null to generate.
   */
  readonly pooling: Pooling | null;
  /**
   * Tokens whose log-probabilities behind the prompt are returned, as if each were its next token;
   * with `maxTokens` 0. Absent: none.
   */
  readonly labels?: readonly TokenId[];
  /**
   * Of a pair of texts for an encoder: index of the first token of the second; absent: there is one
   * text.
   */
  readonly secondFrom?: number;
  /** Smaller numbers run earlier. */
  readonly priority: number;
  /** Name of the adapter that computes it; null for the model alone. */
  readonly adapter: string | null;
  /** Only requests with the same salt share cached blocks. */
  readonly cacheSalt: string | null;
  /**
   * What it says about who will ask for its prefix again; only eviction by `predicted` reads it.
   */
  readonly reuse: ReuseHint;
  /**
   * The output that the client expects, which is computed sooner where it is right. It never
   * changes the output. Absent: none.
   */
  readonly prediction?: readonly TokenId[];
  /**
   * Its outputs are the best texts that a beam search finds, the best first, each whole in one
   * output; `sampling` and constraints do not apply. Absent: they are sampled.
   */
  readonly beams?: BeamParams;
  /**
   * When it ends, its prompt stays in the pages under this name, until `Engine.unpin`; with
   * `maxTokens` 0. A name stands for one prefix: another one takes its place. Absent: it may be
   * evicted, like all others.
   */
  readonly pin?: string;
  /** Images that tokens of its prompt stand for, in their order; absent: none. */
  readonly images?: readonly PromptImage[];
  /** Whose request it is, for the policy `fair` and for predicted lengths. */
  readonly tenant: string;
  /** What asks for it, such as an endpoint, for predicted lengths. */
  readonly route: string;
  /** The client; clients share the threads that compile grammars. Read only with a grammar. */
  readonly client: string;
}

export interface BeamParams {
  /** Number of texts that are followed at a time; at least the number of outputs. */
  readonly width: number;
  /** A text's score is divided by its length to this power: above 0, long texts are favored. */
  readonly lengthPenalty: number;
  /**
   * When `width` texts have ended, the search is over: at once (true); when no other is likely to
   * become better (false); when none can become better (`never`).
   */
  readonly earlyStopping: boolean | 'never';
}

/** Defaults of a plain generation request. */
export const PLAIN_REQUEST = {
  minTokens: 0,
  logprobs: null,
  promptLogprobs: null,
  grammar: null,
  eosTokenIds: [],
  pooling: null,
  priority: 0,
  adapter: null,
  cacheSalt: null,
  reuse: NO_REUSE_HINT,
  tenant: '',
  route: '',
  client: '',
} as const satisfies Partial<EngineRequest>;

export type Pooling = 'last' | 'mean' | 'model';

/**
 * A grammar for the output, as the client states it. The text ends where the grammar does: with one
 * of the request's stop tokens, which are chosen nowhere else.
 */
export type GrammarSpec =
  | JsonSchemaSpec
  | JsonObjectSpec
  /** A regular expression for the whole text, an EBNF grammar (GBNF notation, rule `root`). */
  | { readonly kind: 'regex' | 'ebnf'; readonly source: string }
  /** One of these texts; at least one. */
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  /** A sequence of pieces: for instance JSON and the text around it in a tool call. */
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
  /** Forbids white space between parts. Otherwise, the model may write some, within bounds. */
  readonly compact?: boolean;
}

/**
 * A piece of a structured text. For example, one or more calls of two functions in Hermes' form:
 *
 *     { kind: 'repeat', min: 1, max: null, separator: '\n', parts: [
 *       { kind: 'alternatives', of: [
 *         [{ kind: 'literal', text: '<tool_call>{"name": "a", "arguments": ' },
 *          { kind: 'json-schema', source: schemaOfA },
 *          { kind: 'literal', text: '}</tool_call>' }],
 *         [...the same for b],
 *       ] },
 *     ] }
 */
export type StructurePart =
  /** Written with ordinary tokens: special tokens are never chosen under a grammar. */
  | { readonly kind: 'literal'; readonly text: string }
  /** A regular expression; an EBNF grammar (GBNF notation, rule `root`). */
  | { readonly kind: 'regex' | 'ebnf'; readonly source: string }
  | JsonSchemaSpec
  | JsonObjectSpec
  /** A text of a Lark grammar, or a JSON string of it, without its quotes. */
  | { readonly kind: 'lark'; readonly source: string; readonly inJson: boolean }
  /** Any text in which none of these texts occurs. */
  | { readonly kind: 'text-without'; readonly excludes: readonly string[] }
  /**
   * Any text until one of the triggers has been written; what follows it are then its parts. None
   * of the triggers and excluded texts occurs in another one.
   */
  | {
      readonly kind: 'dispatch';
      readonly rules: readonly {
        readonly trigger: string;
        readonly parts: readonly StructurePart[];
      }[];
      readonly excludes: readonly string[];
      /** Whether any text may follow again, with further triggers. */
      readonly loop: boolean;
      /** Whether it begins with a trigger at once. */
      readonly isForced: boolean;
    }
  /** One of several lists of parts. */
  | { readonly kind: 'alternatives'; readonly of: readonly (readonly StructurePart[])[] }
  | {
      readonly kind: 'repeat';
      readonly parts: readonly StructurePart[];
      /** Text between two repetitions; may be empty. */
      readonly separator: string;
      readonly min: number;
      /** Null for no maximum. */
      readonly max: number | null;
    };
