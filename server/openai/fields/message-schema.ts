import { Type } from 'typebox';
import { Nullable } from './request-fields.js';

const TextPart = Type.Object({ type: Type.Literal('text'), text: Type.String() });
const RefusalPart = Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() });

const FunctionCall = Type.Object({ name: Type.String(), arguments: Type.String() });

const ToolCall = Type.Object({
  id: Type.Optional(Type.String()),
  type: Type.Optional(Type.Literal('function')),
  function: FunctionCall,
});

/** A message of anyone but the model. */
const told = <Role extends string>(role: Role) =>
  Type.Object({
    role: Type.Literal(role),
    content: Type.Union([Type.String(), Type.Array(TextPart)]),
    name: Nullable(Type.String()),
    tool_call_id: Nullable(Type.String()),
  });

const Said = Type.Union([Type.String(), Type.Array(Type.Union([TextPart, RefusalPart]))]);
const ToolCalls = Type.Array(ToolCall);

const ASSISTANT = {
  role: Type.Literal('assistant'),
  content: Nullable(Said),
  refusal: Nullable(Type.String()),
  name: Nullable(Type.String()),
  tool_calls: Nullable(ToolCalls),
  /** OpenAI's older form of one call. */
  function_call: Nullable(FunctionCall),
  /** DeepSeek's name, and vLLM's. */
  reasoning_content: Nullable(Type.String()),
  reasoning: Nullable(Type.String()),
};

/** Every answer of a server can be sent back: one of these is there. */
const Assistant = [
  Type.Object({ ...ASSISTANT, content: Said }),
  Type.Object({ ...ASSISTANT, tool_calls: ToolCalls }),
  Type.Object({ ...ASSISTANT, function_call: FunctionCall }),
  Type.Object({ ...ASSISTANT, reasoning_content: Type.String() }),
  Type.Object({ ...ASSISTANT, reasoning: Type.String() }),
  Type.Object({ ...ASSISTANT, refusal: Type.String() }),
];

export const MessagesSchema = Type.Array(
  Type.Union([
    told('system'),
    told('developer'),
    told('user'),
    told('tool'),
    told('function'),
    ...Assistant,
  ]),
  { minItems: 1 },
);
