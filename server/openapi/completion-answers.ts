import { Type } from 'typebox';
import { OrNull, UsageSchema } from './schemas.js';

const HEAD = {
  id: Type.String(),
  created: Type.Integer(),
  model: Type.String(),
  system_fingerprint: Type.String(),
};

/** vLLM's: the stop string, or the token of `stop_token_ids`, that has ended the text. */
const StopReason = OrNull(Type.Union([Type.String(), Type.Integer()]));

const Index = Type.Integer({ minimum: 0 });

const TokenLogprob = {
  token: Type.String(),
  logprob: Type.Number(),
  bytes: OrNull(Type.Array(Type.Integer({ minimum: 0, maximum: 255 }))),
};

const ChatLogprobs = Type.Object({
  content: OrNull(
    Type.Array(
      Type.Object({ ...TokenLogprob, top_logprobs: Type.Array(Type.Object(TokenLogprob)) }),
    ),
  ),
});

const CompletionLogprobs = Type.Object({
  tokens: Type.Array(Type.String()),
  token_logprobs: Type.Array(OrNull(Type.Number())),
  top_logprobs: OrNull(Type.Array(OrNull(Type.Record(Type.String(), Type.Number())))),
  text_offset: Type.Array(Index),
});

const ChatFinishReason = Type.Enum([
  'stop',
  'length',
  'tool_calls',
  'function_call',
  // vLLM's, of a request with `repetition_detection`.
  'repetition',
]);

const CompletionFinishReason = Type.Enum(['stop', 'length', 'repetition']);

/** Under both of the names that clients know. */
const REASONING = {
  reasoning_content: Type.Optional(OrNull(Type.String())),
  reasoning: Type.Optional(OrNull(Type.String())),
};

const ToolCall = Type.Object({
  id: Type.String(),
  type: Type.Literal('function'),
  function: Type.Object({ name: Type.String(), arguments: Type.String() }),
});

export const ChatAnswer = Type.Object({
  object: Type.Literal('chat.completion'),
  ...HEAD,
  choices: Type.Array(
    Type.Object({
      index: Index,
      message: Type.Object({
        role: Type.Literal('assistant'),
        content: OrNull(Type.String()),
        refusal: Type.Null(),
        ...REASONING,
        tool_calls: Type.Optional(Type.Array(ToolCall)),
        function_call: Type.Optional(ToolCall.properties.function),
      }),
      logprobs: OrNull(ChatLogprobs),
      finish_reason: ChatFinishReason,
      stop_reason: StopReason,
    }),
  ),
  usage: UsageSchema,
});

const ToolCallDelta = Type.Object({
  index: Index,
  id: Type.Optional(Type.String()),
  type: Type.Optional(Type.Literal('function')),
  function: Type.Object({
    name: Type.Optional(Type.String()),
    arguments: Type.Optional(Type.String()),
  }),
});

/** One event of a streamed chat. */
export const ChatChunk = Type.Object({
  object: Type.Literal('chat.completion.chunk'),
  ...HEAD,
  choices: Type.Array(
    Type.Object({
      index: Index,
      delta: Type.Object({
        role: Type.Optional(Type.Literal('assistant')),
        content: Type.Optional(OrNull(Type.String())),
        ...REASONING,
        tool_calls: Type.Optional(Type.Array(ToolCallDelta)),
        function_call: Type.Optional(ToolCallDelta.properties.function),
      }),
      logprobs: OrNull(ChatLogprobs),
      finish_reason: OrNull(ChatFinishReason),
      stop_reason: Type.Optional(StopReason),
    }),
  ),
  usage: Type.Optional(OrNull(UsageSchema)),
});

const CompletionChoice = {
  index: Index,
  text: Type.String(),
  logprobs: OrNull(CompletionLogprobs),
};

export const CompletionAnswer = Type.Object({
  object: Type.Literal('text_completion'),
  ...HEAD,
  choices: Type.Array(
    Type.Object({
      ...CompletionChoice,
      finish_reason: CompletionFinishReason,
      stop_reason: StopReason,
    }),
  ),
  usage: UsageSchema,
});

/** One event of a streamed completion. */
export const CompletionChunk = Type.Object({
  object: Type.Literal('text_completion'),
  ...HEAD,
  choices: Type.Array(
    Type.Object({
      ...CompletionChoice,
      finish_reason: OrNull(CompletionFinishReason),
      stop_reason: Type.Optional(StopReason),
    }),
  ),
  usage: Type.Optional(OrNull(UsageSchema)),
});

/** llama.cpp's answer to `/infill`, and each of its events; the last fields only at the end. */
export const InfillAnswer = Type.Object({
  index: Type.Literal(0),
  content: Type.String(),
  stop: Type.Boolean(),
  model: Type.Optional(Type.String()),
  tokens_predicted: Type.Optional(Type.Integer()),
  tokens_evaluated: Type.Optional(Type.Integer()),
  tokens_cached: Type.Optional(Type.Integer()),
  truncated: Type.Optional(Type.Literal(false)),
  stop_type: Type.Optional(Type.Enum(['eos', 'limit', 'word'])),
  stopping_word: Type.Optional(Type.String()),
});
