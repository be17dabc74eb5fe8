import { type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { FieldGrammar } from '../generation/output-constraint.js';
import type { GrammarSpec } from '../protocol/request.js';
import { MAX_TOP_K } from '../sampling/sampler.js';
import type { Tool, ToolChoice } from '../tools/tool-plan.js';

/** The form that an output must have. */
export type ResponseFormat =
  | { readonly type: 'text' }
  /** Any JSON object. */
  | { readonly type: 'json_object' }
  /**
   * JSON that follows a schema of draft 2020-12, within the limits in docs/structured-output.md.
   */
  | { readonly type: 'json_schema'; readonly schema: object | boolean }
  /** A regular expression for the whole text. */
  | { readonly type: 'regex'; readonly pattern: string }
  /** One of these texts. */
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  /** An EBNF grammar in GBNF notation, with a rule `root`. */
  | { readonly type: 'grammar'; readonly grammar: string };

/**
 * How texts are generated. Absent options have the defaults of the model's
 * `generation_config.json`.
 */
export interface GenerateOptions {
  /** Maximum number of tokens of each output; default: the rest of the context. */
  readonly maxTokens?: number;
  /** Minimum number of tokens before the model can end. */
  readonly minTokens?: number;
  /** 0 always takes the most likely token. */
  readonly temperature?: number;
  readonly topP?: number;
  /** 0 keeps all. */
  readonly topK?: number;
  readonly minP?: number;
  readonly typicalP?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly repetitionPenalty?: number;
  /** By token id, the number from -100 to 100 that is added to its logit. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /**
   * 0 to 2^53 - 1. The same seed and request give the same text; default: a new seed for each
   * request.
   */
  readonly seed?: number;
  /** Texts that end an output; they are not included in it. */
  readonly stop?: string | readonly string[];
  readonly stopTokenIds?: readonly number[];
  /** Whether end-of-text tokens are ignored, so that the model cannot end an output. */
  readonly ignoreEos?: boolean;
  readonly responseFormat?: ResponseFormat;
  /**
   * What the output is expected to be for the most part, as a text that is to be changed in few
   * places. Where it is right, the output comes sooner; it never changes the output.
   */
  readonly prediction?: string;
  /** With each token its log-probability, and those of so many of the likeliest at its place. */
  readonly logprobs?: number;
  /** Name of the LoRA adapter that computes it (the setting `lora`); default: the model alone. */
  readonly adapter?: string;
  /** With the scheduling policy `priority`, smaller numbers run earlier. */
  readonly priority?: number;
  /** Whose request it is: with the scheduling policy `fair`, all users get the same share. */
  readonly user?: string;
  /** Only requests with the same salt share cached prefixes. */
  readonly cacheSalt?: string;
  /** Requests with one key begin alike, with the eviction policy `predicted`. */
  readonly promptCacheKey?: string;
  /** `24h`: the prefix is kept for later requests, with the eviction policy `predicted`. */
  readonly promptCacheRetention?: 'in_memory' | '24h';
  /** Aborts the work; the answer then fails with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * The same, `n` times for each prompt: the result is then a list. Choice `i` samples with
 * `seed + i`.
 */
export type Several<Options> = Options & { readonly n: number };

export interface ChatOptions extends GenerateOptions {
  /** Functions that the model may call. */
  readonly tools?: readonly Tool[];
  readonly toolChoice?: ToolChoice;
  /** False allows at most one call. */
  readonly parallelToolCalls?: boolean;
  /** Other variables of the chat template, such as `enable_thinking`. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
}

export interface EmbedOptions {
  /** The last token's hidden state, or the mean of all tokens'; default: the engine's setting. */
  readonly pooling?: 'last' | 'mean';
  /** Number of leading components to keep (Matryoshka representations). */
  readonly dimensions?: number;
  /** As in `GenerateOptions`. */
  readonly adapter?: string;
  readonly signal?: AbortSignal;
}

const Count = (minimum: number) => Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER });
const AdapterName = Type.String({ minLength: 1 });
const StopText = Type.String({ minLength: 1 });
const Format = (type: string, fields: Record<string, TSchema> = {}) =>
  Type.Object({ type: Type.Literal(type), ...fields });

const FORMATS: Readonly<Record<string, TSchema>> = {
  text: Format('text'),
  json_object: Format('json_object'),
  json_schema: Format('json_schema', { schema: Type.Union([Type.Object({}), Type.Boolean()]) }),
  regex: Format('regex', { pattern: Type.String() }),
  choice: Format('choice', { choices: Type.Array(Type.String(), { minItems: 1 }) }),
  grammar: Format('grammar', { grammar: Type.String() }),
};

/** The same bounds as in the API. */
const GENERATE_FIELDS: Record<string, TSchema> = {
  maxTokens: Count(1),
  minTokens: Count(0),
  temperature: Type.Number({ minimum: 0, maximum: 2 }),
  topP: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
  topK: Count(0),
  minP: Type.Number({ minimum: 0, maximum: 1 }),
  typicalP: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
  presencePenalty: Type.Number({ minimum: -2, maximum: 2 }),
  frequencyPenalty: Type.Number({ minimum: -2, maximum: 2 }),
  repetitionPenalty: Type.Number({ minimum: 0.01, maximum: 100 }),
  logitBias: Type.Record(Type.String(), Type.Number({ minimum: -100, maximum: 100 })),
  seed: Count(0),
  stop: Type.Union([StopText, Type.Array(StopText, { maxItems: 16 })]),
  stopTokenIds: Type.Array(Count(0)),
  ignoreEos: Type.Boolean(),
  responseFormat: Type.Object({ type: Type.Enum(Object.keys(FORMATS)) }),
  prediction: Type.String(),
  adapter: AdapterName,
  priority: Type.Integer(),
  user: Type.String({ maxLength: 1024 }),
  cacheSalt: Type.String({ minLength: 1, maxLength: 1024 }),
  promptCacheKey: Type.String({ minLength: 1, maxLength: 1024 }),
  promptCacheRetention: Type.Enum(['in_memory', '24h']),
  n: Type.Integer({ minimum: 1, maximum: 128 }),
  logprobs: Type.Integer({ minimum: 0, maximum: MAX_TOP_K }),
  signal: Type.Unknown(),
};

const CHAT_FIELDS: Record<string, TSchema> = {
  ...GENERATE_FIELDS,
  tools: Type.Array(
    Type.Object({
      type: Type.Literal('function'),
      function: Type.Object({ name: Type.String({ pattern: '^[a-zA-Z0-9_-]{1,64}$' }) }),
    }),
    { minItems: 1, maxItems: 128 },
  ),
  toolChoice: Type.Unknown(),
  parallelToolCalls: Type.Boolean(),
  templateVariables: Type.Object({}),
};

const EMBED_FIELDS: Record<string, TSchema> = {
  pooling: Type.Enum(['last', 'mean']),
  dimensions: Count(1),
  adapter: AdapterName,
  signal: Type.Unknown(),
};

/**
 * Refuses options that are unknown, and values that are not allowed. An option that is undefined
 * counts as absent.
 *
 * @throws OctavoError `invalid_request`: which option, and what is allowed
 */
export function checkOptions(options: object, fields: Readonly<Record<string, TSchema>>): void {
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (value === undefined) continue;
    const schema = fields[name];
    if (!schema) {
      const known = Object.keys(fields).join(', ');
      throw refused(name, `${clip(name)} is no option; there are ${known}`);
    }
    const [problem] = Compile(schema).Errors(value);
    if (problem) throw refused(name, `${name}${pathOf(problem.instancePath)} ${problem.message}`);
  }
}

export const checkGenerateOptions = (options: GenerateOptions): void =>
  checkOptions(options, GENERATE_FIELDS);
export const checkChatOptions = (options: ChatOptions): void => checkOptions(options, CHAT_FIELDS);
export const checkEmbedOptions = (options: EmbedOptions): void =>
  checkOptions(options, EMBED_FIELDS);

/** @throws OctavoError `invalid_request` for an incomplete format */
export function grammarOfFormat(format: ResponseFormat | undefined): FieldGrammar | null {
  if (format === undefined || format.type === 'text') return null;
  const [problem] = Compile(FORMATS[format.type]).Errors(format);
  if (problem) {
    const at = `responseFormat${pathOf(problem.instancePath)}`;
    throw refused('responseFormat', `${at} ${problem.message}`);
  }
  return { spec: specOf(format), field: 'responseFormat' };
}

function specOf(format: Exclude<ResponseFormat, { type: 'text' }>): GrammarSpec {
  switch (format.type) {
    case 'json_object':
      return { kind: 'json-object' };
    case 'json_schema':
      return { kind: 'json-schema', source: JSON.stringify(format.schema) };
    case 'regex':
      return { kind: 'regex', source: format.pattern };
    case 'choice':
      return { kind: 'choice', choices: format.choices };
    case 'grammar':
      return { kind: 'ebnf', source: format.grammar };
  }
}

const pathOf = (pointer: string): string => pointer.replaceAll('/', '.');

function refused(param: string, message: string): OctavoError {
  return new OctavoError('invalid_request', message, { param });
}
