import { Type } from 'typebox';
import { OrNull } from './schemas.js';

const Count = Type.Integer({ minimum: 0 });

const Usage = Type.Object({
  input_tokens: Type.Integer({
    minimum: 0,
    description: 'tokens of the prompt, without those that were read from or added to the cache',
  }),
  cache_creation_input_tokens: Count,
  cache_read_input_tokens: Count,
  cache_creation: Type.Object({
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
  }),
  output_tokens: Count,
  output_tokens_details: Type.Object({ thinking_tokens: Count }),
  service_tier: Type.Literal('standard'),
});

const Text = Type.Object({ type: Type.Literal('text'), text: Type.String() });

const Thinking = Type.Object({
  type: Type.Literal('thinking'),
  thinking: Type.String(),
  signature: Type.String(),
});

const ToolUse = Type.Object({
  type: Type.Literal('tool_use'),
  id: Type.String(),
  name: Type.String(),
  input: Type.Object({}),
});

export const MessageAnswer = Type.Object({
  id: Type.String(),
  type: Type.Literal('message'),
  role: Type.Literal('assistant'),
  model: Type.String(),
  content: Type.Array(Type.Union([Text, Thinking, ToolUse])),
  stop_reason: OrNull(
    Type.Enum([
      'end_turn',
      'max_tokens',
      'model_context_window_exceeded',
      'stop_sequence',
      'tool_use',
    ]),
  ),
  stop_sequence: OrNull(Type.String()),
  usage: Usage,
});

/** One event of a streamed message; what else it has depends on its type. */
export const MessageEventSchema = Type.Object({
  type: Type.Enum([
    'message_start',
    'ping',
    'content_block_start',
    'content_block_delta',
    'content_block_stop',
    'message_delta',
    'message_stop',
    'error',
  ]),
});

export const CountedTokens = Type.Object({ input_tokens: Count });

export const AnthropicErrorSchema = Type.Object({
  type: Type.Literal('error'),
  error: Type.Object({
    type: Type.String(),
    message: Type.String(),
    details: Type.Optional(Type.Object({ error_code: Type.String() })),
  }),
  request_id: Type.String(),
});
