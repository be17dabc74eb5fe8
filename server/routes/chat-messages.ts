import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { TemplateMessage } from '../text/chat-template.js';
import type { ServedModel } from '../text/served-model.js';
import { Nullable } from './request-fields.js';

const TextPart = Type.Object({ type: Type.Literal('text'), text: Type.String() });

const ToolCall = Type.Object({
  id: Type.Optional(Type.String()),
  type: Type.Optional(Type.Literal('function')),
  function: Type.Object({ name: Type.String(), arguments: Type.String() }),
});

const MessageSchema = Type.Object({
  role: Type.Enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: Nullable(Type.Union([Type.String(), Type.Array(TextPart)])),
  name: Nullable(Type.String()),
  tool_call_id: Nullable(Type.String()),
  tool_calls: Nullable(Type.Array(ToolCall)),
});

export const MessagesSchema = Type.Array(MessageSchema, { minItems: 1 });

export type Message = Static<typeof MessageSchema>;

/**
 * The prompt's tokens for a conversation.
 *
 * @throws OctavoError `invalid_request` when the model has no chat template or its template refuses the messages
 */
export function encodeMessages(messages: readonly Message[], model: ServedModel): TokenId[] {
  if (model.chatTemplate === null) {
    throw new OctavoError('invalid_request', 'the model has no chat template', {
      param: 'messages',
    });
  }
  const text = model.chatTemplate.render(messages.map(toTemplateMessage));
  // The template writes the special tokens itself.
  return model.tokenizer.encode(text, { addSpecialTokens: false });
}

function toTemplateMessage(message: Message, index: number): TemplateMessage {
  const { role, content, tool_calls: calls, name, tool_call_id: callId } = message;
  if ((content === undefined || content === null) && (role !== 'assistant' || !calls)) {
    const param = `messages[${index}].content`;
    throw new OctavoError('invalid_request', `missing required field ${param}`, { param });
  }
  const text = Array.isArray(content) ? content.map((part) => part.text).join('') : content;
  return {
    // Templates know the older name of the role only.
    role: role === 'developer' ? 'system' : role,
    content: text ?? '',
    ...(name ? { name } : {}),
    ...(callId ? { tool_call_id: callId } : {}),
    ...(calls ? { tool_calls: calls.map(withParsedArguments) } : {}),
  };
}

/** Clients send arguments as a JSON text; templates print them as the object they are. */
function withParsedArguments(call: Static<typeof ToolCall>): object {
  try {
    const parsed: unknown = JSON.parse(call.function.arguments);
    return { ...call, function: { ...call.function, arguments: parsed } };
  } catch {
    return call;
  }
}
