import { type TSchema, Type } from 'typebox';
import { RepetitionSchema } from './repetition-detection.js';
import { STRUCTURED_OUTPUT_FIELDS } from './structured-output.js';

/** Optional, and null counts as absent: clients send both. */
export const Nullable = <Schema extends TSchema>(schema: Schema) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

/** Larger ones are no counts any more: they have lost digits. */
export const Count = (minimum: number) =>
  Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER });

/**
 * OpenAI's and vLLM's int64. Beyond 2^53, JSON's numbers come rounded to the nearest that
 * JavaScript has.
 */
const Int64 = Type.Integer({ minimum: -(2 ** 63), maximum: 2 ** 63 });

const StopString = Type.String({ minLength: 1 });

export const StreamOptionsSchema = Type.Object({
  include_usage: Nullable(Type.Boolean()),
  /** vLLM's: with `include_usage`, every chunk says how much has been used so far. */
  continuous_usage_stats: Nullable(Type.Boolean()),
});

/** How the next token is chosen. */
const SAMPLING_FIELDS = {
  temperature: Nullable(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: Nullable(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  /** 0 and -1 keep all. */
  top_k: Nullable(Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER })),
  min_p: Nullable(Type.Number({ minimum: 0, maximum: 1 })),
  typical_p: Nullable(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  presence_penalty: Nullable(Type.Number({ minimum: -2, maximum: 2 })),
  frequency_penalty: Nullable(Type.Number({ minimum: -2, maximum: 2 })),
  /** Bounded, because larger penalties overflow float32. */
  repetition_penalty: Nullable(Type.Number({ minimum: 0.01, maximum: 100 })),
  /** Keys are token ids. */
  logit_bias: Nullable(Type.Record(Type.String(), Type.Number({ minimum: -100, maximum: 100 }))),
  seed: Nullable(Int64),
  /** vLLM's: no other token is chosen, the model's end tokens included. */
  allowed_token_ids: Nullable(Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 })),
  /** vLLM's: texts that the output must not hold, at a word's beginning or inside of one. */
  bad_words: Nullable(Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 256 })),
};

/** When a completion ends, and what of its end is shown. */
const ENDING_FIELDS = {
  min_tokens: Nullable(Count(0)),
  max_tokens: Nullable(Count(1)),
  /** Wins over `max_tokens`. */
  max_completion_tokens: Nullable(Count(1)),
  stop: Nullable(Type.Union([StopString, Type.Array(StopString, { maxItems: 16 })])),
  stop_token_ids: Nullable(Type.Array(Type.Integer({ minimum: 0 }))),
  ignore_eos: Nullable(Type.Boolean()),
  include_stop_str_in_output: Nullable(Type.Boolean()),
  skip_special_tokens: Nullable(Type.Boolean()),
  /** vLLM's: a text that repeats itself ends. */
  repetition_detection: Nullable(RepetitionSchema),
};

/** Without effect on the answer, here as with OpenAI or vLLM; only their types are checked. */
export const IGNORED_FIELDS = {
  metadata: Nullable(Type.Record(Type.String(), Type.String())),
  store: Nullable(Type.Boolean()),
  service_tier: Nullable(Type.String()),
  /** How long answers are to be: no model that is served here is told. */
  verbosity: Nullable(Type.Enum(['low', 'medium', 'high'])),
  /** Speaks of tokenizers that put spaces between; none that is loaded here does. */
  spaces_between_special_tokens: Nullable(Type.Boolean()),
};

/** The fields that chat and plain completions have in common. */
export const COMMON_FIELDS = {
  model: Nullable(Type.String()),
  stream: Nullable(Type.Boolean()),
  stream_options: Nullable(StreamOptionsSchema),
  ...SAMPLING_FIELDS,
  ...ENDING_FIELDS,
  n: Nullable(Type.Integer({ minimum: 1, maximum: 128 })),
  /**
   * vLLM's: log-probabilities of the prompt's tokens, with so many of the likeliest at each place.
   */
  prompt_logprobs: Nullable(Type.Integer({ minimum: 0, maximum: 20 })),
  /** vLLM's: log-probabilities name tokens as `token_id:7`. */
  return_tokens_as_token_ids: Nullable(Type.Boolean()),
  /**
   * Smaller is earlier; without effect unless the server runs with --scheduling-policy priority.
   */
  priority: Nullable(Int64),
  /**
   * For whom the client asks; without effect unless the server runs with --scheduling-policy fair
   * and --fair-share-by user. The newer name wins.
   */
  user: Nullable(Type.String()),
  safety_identifier: Nullable(Type.String()),
  /** Only requests with the same salt share cached prefixes. */
  cache_salt: Nullable(Type.String({ minLength: 1, maxLength: 1024 })),
  /**
   * Requests with one key begin alike; without effect unless the server runs with --eviction-policy
   * predicted.
   */
  prompt_cache_key: Nullable(Type.String({ maxLength: 1024 })),
  /**
   * 24h: the prefix is kept for later requests; without effect unless the server runs with
   * --eviction-policy predicted.
   */
  prompt_cache_retention: Nullable(Type.Enum(['in_memory', 'in-memory', '24h'])),
  ...STRUCTURED_OUTPUT_FIELDS,
  ...IGNORED_FIELDS,
};

export const CommonSchema = Type.Object(COMMON_FIELDS);
