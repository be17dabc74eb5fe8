import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { MAX_NESTING, tooDeepPath } from '../../engine/nesting.js';
import type { RenderOptions, TemplateMessage } from '../text/chat-template.js';
import type { ServedModel } from '../text/served-model.js';
import type { PromptText } from '../text/spans.js';
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
  reasoning_content: Nullable(Type.String()),
  reasoning: Nullable(Type.String()),
});

export const MessagesSchema = Type.Array(MessageSchema, { minItems: 1 });

export type Message = Static<typeof MessageSchema>;

/**
 * The prompt's text for a conversation, with the parts that are the client's.
 *
 * @throws OctavoError `invalid_request` when the model has no chat template or its template refuses the messages
 */
export function renderMessages(
  messages: readonly Message[],
  model: ServedModel,
  options: RenderOptions = {},
): PromptText {
  if (model.chatTemplate === null) {
    throw new OctavoError(
      'invalid_request',
      'the model has no chat template: use /v1/completions, or give the server one by --chat-template',
      { param: 'messages' },
    );
  }
  const names = namesOfCalls(messages);
  const turns = messages.map((message, index) => toTemplateMessage(message, index, names));
  return model.chatTemplate.renderPrompt(turns, options);
}

/** The function behind each call id. Some templates want the name of a result, which OpenAI's clients do not send. */
function namesOfCalls(messages: readonly Message[]): ReadonlyMap<string, string> {
  const calls = messages.flatMap((message) => message.tool_calls ?? []);
  return new Map(calls.flatMap(({ id, function: { name } }) => (id ? [[id, name]] : [])));
}

function toTemplateMessage(
  message: Message,
  index: number,
  names: ReadonlyMap<string, string>,
): TemplateMessage {
  const { role, content, tool_calls: calls, tool_call_id: callId } = message;
  if ((content === undefined || content === null) && (role !== 'assistant' || !calls)) {
    const param = `messages[${index}].content`;
    throw new OctavoError('invalid_request', `missing required field ${param}`, { param });
  }
  const text = Array.isArray(content) ? content.map((part) => part.text).join('') : content;
  const reasoning = message.reasoning_content ?? message.reasoning;
  const name = message.name ?? (callId ? names.get(callId) : undefined);
  return {
    // Templates know the older name of the role only.
    role: role === 'developer' ? 'system' : role,
    content: text ?? '',
    ...(name ? { name } : {}),
    ...(callId ? { tool_call_id: callId } : {}),
    ...(calls?.length
      ? {
          tool_calls: calls.map((call, i) =>
            withParsedArguments(call, `messages[${index}].tool_calls[${i}]`),
          ),
        }
      : {}),
    ...(reasoning ? { reasoning_content: reasoning } : {}),
  };
}

/** Clients send arguments as a JSON text; templates print them as the object they are. */
function withParsedArguments(call: Static<typeof ToolCall>, at: string): object {
  const given = parsed(call.function.arguments);
  if (tooDeepPath(given)) {
    const param = `${at}.function.arguments`;
    const message = `${param} are nested too deeply: at most ${MAX_NESTING} levels are allowed`;
    throw new OctavoError('invalid_request', message, { param });
  }
  return { ...call, function: { ...call.function, arguments: given } };
}

function parsed(text: string): unknown {
  // What clients send for a function without parameters.
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
