import { type TSchema, Type } from 'typebox';

/** Present, and null when there is nothing to say. */
export const OrNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);

const Count = Type.Integer({ minimum: 0 });

/** Token counts of chats and completions. */
export const UsageSchema = Type.Object({
  prompt_tokens: Count,
  completion_tokens: Count,
  total_tokens: Count,
  prompt_tokens_details: Type.Object({ cached_tokens: Count }),
  completion_tokens_details: Type.Object({ reasoning_tokens: Count }),
});

export const ErrorSchema = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: OrNull(Type.String()),
    code: OrNull(Type.String()),
  }),
});

const ModelSchema = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer(),
  owned_by: Type.String(),
  max_model_len: Type.Integer(),
});

export const MODEL_ANSWERS = {
  one: ModelSchema,
  list: Type.Object({ object: Type.Literal('list'), data: Type.Array(ModelSchema) }),
};

export const EmbeddingsAnswer = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(
    Type.Object({
      object: Type.Literal('embedding'),
      index: Count,
      embedding: Type.Union([Type.Array(Type.Number()), Type.String()], {
        description: 'numbers, or little-endian float32 as base64',
      }),
    }),
  ),
  model: Type.String(),
  usage: Type.Object({ prompt_tokens: Count, total_tokens: Count }),
});

export const TokenizeAnswer = Type.Object({
  count: Count,
  max_model_len: Type.Integer(),
  tokens: Type.Array(Count),
  token_strs: Type.Optional(OrNull(Type.Array(Type.String()))),
});

export const DetokenizeAnswer = Type.Object({ prompt: Type.String() });

export const StatusAnswer = Type.Object({ status: Type.Literal('ok') });

export const VersionAnswer = Type.Object({ version: Type.String() });
