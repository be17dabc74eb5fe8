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
  completion_tokens_details: Type.Object({
    reasoning_tokens: Count,
    accepted_prediction_tokens: Type.Optional(Count),
    rejected_prediction_tokens: Type.Optional(Count),
  }),
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
  max_model_len: OrNull(Type.Integer({ description: 'null until it was loaded once' })),
  state: Type.Enum(['unloaded', 'loading', 'loaded', 'unloading', 'failed']),
});

export const MODEL_ANSWERS = {
  one: ModelSchema,
  list: Type.Object({ object: Type.Literal('list'), data: Type.Array(ModelSchema) }),
};

const Share = Type.Number({ minimum: 0, maximum: 1 });

export const DecisionAnswer = Type.Object({
  model: Type.String(),
  answers: Type.Array(Type.Object({ type: Type.Enum(['predicate', 'choice', 'score']) }), {
    description: "In the questions' order.",
  }),
  usage: Type.Object({
    input_tokens: Type.Integer(),
    output_tokens: Type.Integer(),
    total_tokens: Type.Integer(),
  }),
});

export const SystemOneAnswer = Type.Object({
  model: Type.String(),
  answers: Type.Record(
    Type.String(),
    Type.Object({
      type: Type.Enum(['noul', 'choice', 'score']),
      noul: Type.Optional(Share),
      confidence: Type.Optional(Share),
    }),
  ),
  usage: Type.Object({ input_tokens: Type.Integer(), output_tokens: Type.Integer() }),
});

const PromptUsage = Type.Object({ prompt_tokens: Type.Integer(), total_tokens: Type.Integer() });

export const RerankAnswer = Type.Object({
  id: Type.String(),
  model: Type.String(),
  usage: PromptUsage,
  results: Type.Array(
    Type.Object({
      index: Type.Integer(),
      document: Type.Optional(Type.Object({ text: Type.String() })),
      relevance_score: Type.Number(),
    }),
    { description: 'The best first.' },
  ),
});

export const ScoreAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('list'),
  created: Type.Integer(),
  model: Type.String(),
  data: Type.Array(
    Type.Object({
      index: Type.Integer(),
      object: Type.Literal('score'),
      score: Type.Number(),
    }),
  ),
  usage: PromptUsage,
});

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

const LoadOfRank = Type.Object({
  dp_rank: Type.Literal(0),
  num_running_reqs: Count,
  num_waiting_reqs: Count,
  num_total_reqs: Count,
  num_used_tokens: Count,
  max_total_num_tokens: Count,
  token_usage: Type.Number({ minimum: 0, maximum: 1 }),
  max_running_requests: Count,
});

/** What routers ask: `server/routes/load.ts`. */
export const LOAD_ANSWERS = {
  vllm: Type.Object({ server_load: Count }),
  sglang: Type.Object({
    timestamp: Type.String(),
    dp_rank_count: Type.Literal(1),
    loads: Type.Array(LoadOfRank),
  }),
  short: Type.Array(
    Type.Object({
      dp_rank: Type.Literal(0),
      num_reqs: Count,
      num_waiting_reqs: Count,
      num_tokens: Count,
    }),
  ),
  server: Type.Object({
    model_id: Type.String(),
    served_model_name: Type.String(),
    version: Type.String(),
    context_length: OrNull(Count),
    kv_block_size: OrNull(Count),
    max_total_tokens: Count,
    max_running_requests: Count,
    tp_size: Type.Literal(1),
    pp_size: Type.Literal(1),
    dp_size: Type.Literal(1),
    is_embedding: Type.Literal(false),
  }),
  model: Type.Object({
    model_path: Type.String(),
    is_generation: Type.Literal(true),
    has_image_understanding: Type.Boolean(),
    has_audio_understanding: Type.Literal(false),
  }),
  kvEvents: Type.Record(
    Type.String(),
    Type.Object({
      enable_kv_cache_events: Type.Literal(true),
      publisher: Type.Literal('zmq'),
      endpoint: Type.String(),
      replay_endpoint: OrNull(Type.String()),
      buffer_steps: Count,
      hwm: Count,
      topic: Type.String(),
    }),
  ),
};

const PinnedPrefixSchema = Type.Object({
  object: Type.Literal('cache.prefix'),
  name: Type.String(),
  model: Type.String(),
  created: Type.Integer(),
  tokens: Count,
  pinned_tokens: Count,
  cached_tokens: Count,
});

export const PREFIX_ANSWERS = {
  one: PinnedPrefixSchema,
  list: Type.Object({ object: Type.Literal('list'), data: Type.Array(PinnedPrefixSchema) }),
  deleted: Type.Object({
    object: Type.Literal('cache.prefix'),
    name: Type.String(),
    deleted: Type.Literal(true),
  }),
};

export const StatusAnswer = Type.Object({ status: Type.Literal('ok') });

export const SleepingAnswer = Type.Object({ is_sleeping: Type.Boolean() });

export const VersionAnswer = Type.Object({ version: Type.String() });

const USAGE_FIELDS = {
  requests: Count,
  failed_requests: Count,
  prompt_tokens: Count,
  cached_tokens: Count,
  completion_tokens: Count,
};

const UsageByName = Type.Record(Type.String(), Type.Object(USAGE_FIELDS));

export const UsageAnswer = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(
    Type.Object({
      object: Type.Literal('usage'),
      key: Type.String(),
      ...USAGE_FIELDS,
      models: UsageByName,
      days: UsageByName,
    }),
  ),
});
