import { Type } from 'typebox';

const Count = Type.Integer({ minimum: 0 });

const Nanoseconds = Type.Integer({ minimum: 0, description: 'nanoseconds' });

/** Of the last object; of the only one, without a stream. */
const ENDING = {
  done: Type.Boolean(),
  done_reason: Type.Optional(Type.Enum(['stop', 'length', 'load', 'unload'])),
  total_duration: Type.Optional(Nanoseconds),
  load_duration: Type.Optional(Nanoseconds),
  prompt_eval_count: Type.Optional(Count),
  prompt_eval_duration: Type.Optional(Nanoseconds),
  eval_count: Type.Optional(Count),
  eval_duration: Type.Optional(Nanoseconds),
};

const HEAD = { model: Type.String(), created_at: Type.String() };

const Logprobs = Type.Optional(Type.Array(Type.Object({})));

const ToolCall = Type.Object({
  id: Type.String(),
  function: Type.Object({ index: Count, name: Type.String(), arguments: Type.Object({}) }),
});

export const OllamaChatAnswer = Type.Object({
  ...HEAD,
  message: Type.Object({
    role: Type.Literal('assistant'),
    content: Type.String(),
    thinking: Type.Optional(Type.String()),
    tool_calls: Type.Optional(Type.Array(ToolCall)),
  }),
  logprobs: Logprobs,
  ...ENDING,
});

export const GenerateAnswer = Type.Object({
  ...HEAD,
  response: Type.String(),
  thinking: Type.Optional(Type.String()),
  logprobs: Logprobs,
  context: Type.Optional(Type.Array(Count)),
  ...ENDING,
});

export const EmbedAnswer = Type.Object({
  model: Type.String(),
  embeddings: Type.Array(Type.Array(Type.Number())),
  total_duration: Nanoseconds,
  load_duration: Nanoseconds,
  prompt_eval_count: Count,
});

export const OldEmbedAnswer = Type.Object({ embedding: Type.Array(Type.Number()) });

const Details = Type.Object({
  parent_model: Type.String(),
  format: Type.String(),
  family: Type.String(),
  families: Type.Array(Type.String()),
  parameter_size: Type.String(),
  quantization_level: Type.String(),
});

const LISTED = {
  name: Type.String(),
  model: Type.String(),
  size: Count,
  digest: Type.String(),
  details: Details,
};

export const TagsAnswer = Type.Object({
  models: Type.Array(Type.Object({ ...LISTED, modified_at: Type.String() })),
});

export const PsAnswer = Type.Object({
  models: Type.Array(
    Type.Object({
      ...LISTED,
      size_vram: Count,
      context_length: Type.Integer(),
      expires_at: Type.String(),
    }),
  ),
});

export const ShowAnswer = Type.Object({
  license: Type.String(),
  modelfile: Type.String(),
  parameters: Type.String(),
  template: Type.String(),
  details: Details,
  model_info: Type.Object({}),
  capabilities: Type.Array(Type.String()),
  modified_at: Type.String(),
});

export const OllamaVersion = Type.Object({ version: Type.String(), octavo: Type.String() });

export const PullAnswer = Type.Object({
  status: Type.String(),
  digest: Type.Optional(Type.String()),
  total: Type.Optional(Count),
  completed: Type.Optional(Count),
});

export const OllamaErrorSchema = Type.Object({ error: Type.String() });
