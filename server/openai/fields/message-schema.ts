import { type TSchema, Type } from 'typebox';
import { KNOWN_ROLES, MAX_ROLE_LENGTH } from '../../../engine/text/roles.js';
import { Nullable } from './request-fields.js';

const TextPart = Type.Object({ type: Type.Literal('text'), text: Type.String() });
const RefusalPart = Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() });

/** A data URL, or a URL of a host that the operator allows. */
const ImagePart = Type.Object({
  type: Type.Literal('image_url'),
  image_url: Type.Union([
    Type.String(),
    Type.Object({
      url: Type.String(),
      /** Without effect: a model's processor has one size. */
      detail: Nullable(Type.Enum(['auto', 'low', 'high'])),
    }),
  ]),
});

const FunctionCall = Type.Object({ name: Type.String(), arguments: Type.String() });

const ToolCall = Type.Object({
  id: Type.Optional(Type.String()),
  type: Type.Optional(Type.Literal('function')),
  function: FunctionCall,
});

/** A message of anyone but the model. */
const told = <Role extends TSchema, Part extends TSchema = typeof TextPart>(
  role: Role,
  part: Part = TextPart as unknown as Part,
) =>
  Type.Object({
    role,
    content: Type.Union([Type.String(), Type.Array(part)]),
    name: Nullable(Type.String()),
    tool_call_id: Nullable(Type.String()),
  });

/** For models that know more roles; whether the template writes them is seen when it does. */
const OtherRole = Type.String({
  minLength: 1,
  maxLength: MAX_ROLE_LENGTH,
  pattern: `^(?!(?:${KNOWN_ROLES.join('|')})$)`,
  description: "a role of the client's own, if the model's chat template writes its messages",
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
    told(Type.Literal('system')),
    told(Type.Literal('developer')),
    told(Type.Literal('user'), Type.Union([TextPart, ImagePart])),
    told(Type.Literal('tool')),
    told(Type.Literal('function')),
    ...Assistant,
    told(OtherRole),
  ]),
  { minItems: 1 },
);
