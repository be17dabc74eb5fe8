import { type TSchema, Type } from 'typebox';
import { STRUCTURED_OUTPUT_FIELDS } from './structured-output-fields.js';

/** Optional, and null counts as absent: clients send both. */
export const Nullable = <Schema extends TSchema>(schema: Schema) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

const StopString = Type.String({ minLength: 1 });

/** The fields that chat and plain completions have in common. */
export const COMMON_FIELDS = {
  model: Nullable(Type.String()),
  stream: Nullable(Type.Boolean()),
  stream_options: Nullable(Type.Object({ include_usage: Nullable(Type.Boolean()) })),
  temperature: Nullable(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: Nullable(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  seed: Nullable(
    Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
  ),
  stop: Nullable(Type.Union([StopString, Type.Array(StopString, { maxItems: 16 })])),
  max_tokens: Nullable(Type.Integer({ minimum: 1 })),
  n: Nullable(Type.Integer({ minimum: 1, maximum: 128 })),
  ignore_eos: Nullable(Type.Boolean()),
  stop_token_ids: Nullable(Type.Array(Type.Integer({ minimum: 0 }))),
  include_stop_str_in_output: Nullable(Type.Boolean()),
  user: Nullable(Type.String()),
  /** Smaller is earlier; without effect unless the server runs with --scheduling-policy priority. */
  priority: Nullable(Type.Integer({ minimum: -1000, maximum: 1000 })),
  /** Only requests with the same salt share cached prefixes. */
  cache_salt: Nullable(Type.String({ minLength: 1, maxLength: 1024 })),
  ...STRUCTURED_OUTPUT_FIELDS,
};

export const CommonSchema = Type.Object(COMMON_FIELDS);
