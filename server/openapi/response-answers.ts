import { Type } from 'typebox';
import { OrNull } from './schemas.js';

const Count = Type.Integer({ minimum: 0 });

const Status = Type.Enum(['in_progress', 'completed', 'incomplete']);

const InputText = Type.Object({ type: Type.Literal('input_text'), text: Type.String() });

const OutputText = Type.Object({
  type: Type.Literal('output_text'),
  text: Type.String(),
  annotations: Type.Array(Type.Unknown()),
  logprobs: Type.Array(Type.Unknown()),
});

const ITEM = { id: Type.String(), status: Status };

const OutputMessage = Type.Object({
  ...ITEM,
  type: Type.Literal('message'),
  role: Type.Literal('assistant'),
  content: Type.Array(OutputText),
});

const InputMessage = Type.Object({
  ...ITEM,
  type: Type.Literal('message'),
  role: Type.Enum(['user', 'system', 'developer']),
  content: Type.Array(InputText),
});

const FunctionCall = Type.Object({
  ...ITEM,
  type: Type.Literal('function_call'),
  call_id: Type.String(),
  name: Type.String(),
  arguments: Type.String({ description: 'JSON, as the model wrote it' }),
});

const FunctionCallOutput = Type.Object({
  ...ITEM,
  type: Type.Literal('function_call_output'),
  call_id: Type.String(),
  output: Type.String(),
});

const CustomToolCall = Type.Object({
  ...ITEM,
  type: Type.Literal('custom_tool_call'),
  call_id: Type.String(),
  name: Type.String(),
  input: Type.String(),
});

const CustomToolCallOutput = Type.Object({
  ...ITEM,
  type: Type.Literal('custom_tool_call_output'),
  call_id: Type.String(),
  output: Type.String(),
});

const Reasoning = Type.Object({
  ...ITEM,
  type: Type.Literal('reasoning'),
  summary: Type.Array(Type.Unknown()),
  content: Type.Array(Type.Object({ type: Type.Literal('reasoning_text'), text: Type.String() })),
});

export const ResponseAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('response'),
  created_at: Type.Integer(),
  completed_at: OrNull(Type.Integer()),
  status: Type.Enum(['in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
  background: Type.Boolean(),
  error: OrNull(Type.Object({ code: Type.String(), message: Type.String() })),
  incomplete_details: OrNull(
    Type.Object({ reason: Type.Enum(['max_output_tokens', 'repetition']) }),
  ),
  model: Type.String(),
  output: Type.Array(Type.Union([OutputMessage, FunctionCall, CustomToolCall, Reasoning])),
  usage: OrNull(
    Type.Object({
      input_tokens: Count,
      input_tokens_details: Type.Object({ cached_tokens: Count }),
      output_tokens: Count,
      output_tokens_details: Type.Object({ reasoning_tokens: Count }),
      total_tokens: Count,
    }),
  ),
  instructions: OrNull(Type.String()),
  max_output_tokens: OrNull(Type.Integer()),
  metadata: Type.Record(Type.String(), Type.String()),
  parallel_tool_calls: Type.Boolean(),
  previous_response_id: OrNull(Type.String()),
  store: Type.Boolean(),
  temperature: Type.Number(),
  top_p: Type.Number(),
  text: Type.Object({ format: Type.Object({ type: Type.String() }) }),
  tool_choice: Type.Unknown(),
  tools: Type.Array(Type.Object({ type: Type.String() })),
  truncation: Type.Enum(['auto', 'disabled']),
  user: OrNull(Type.String()),
});

/** One event of a streamed response; what else it has depends on its type. */
export const ResponseEventSchema = Type.Object({
  type: Type.Enum([
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.reasoning_text.delta',
    'response.reasoning_text.done',
    'response.output_text.delta',
    'response.output_text.done',
    'response.function_call_arguments.delta',
    'response.function_call_arguments.done',
    'response.custom_tool_call_input.delta',
    'response.custom_tool_call_input.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.completed',
    'response.incomplete',
    'response.failed',
  ]),
  sequence_number: Count,
});

export const DeletedResponse = Type.Object({
  id: Type.String(),
  object: Type.Literal('response'),
  deleted: Type.Literal(true),
});

export const InputItemsAnswer = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(
    Type.Union([
      InputMessage,
      OutputMessage,
      FunctionCall,
      FunctionCallOutput,
      CustomToolCall,
      CustomToolCallOutput,
      Reasoning,
    ]),
  ),
  first_id: OrNull(Type.String()),
  last_id: OrNull(Type.String()),
  has_more: Type.Boolean(),
});

export const InputTokensAnswer = Type.Object({
  object: Type.Literal('response.input_tokens'),
  input_tokens: Count,
});
