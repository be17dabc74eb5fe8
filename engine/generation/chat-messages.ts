import { OctavoError } from '../errors.js';
import { MAX_NESTING, tooDeepPath } from '../nesting.js';
import type { RenderOptions, TemplateMessage, TemplatePart } from '../text/chat-template.js';
import type { ServedModel } from '../text/served-model.js';
import { type PromptText, spansWithin } from '../text/spans.js';
import { assertRolesAreShown } from './custom-roles.js';
import type { CallOfMessage, Message } from './message.js';

export interface MessageOptions extends RenderOptions {
  /**
   * Whether the prompt ends where the last message ends, so that the model continues that message.
   */
  readonly continuesFinal?: boolean;
  /**
   * Source of the request's own chat template, which takes the place of the model's; null or absent
   * for none.
   */
  readonly template?: string | null;
}

/**
 * The prompt's text for a conversation, with the client's spans.
 *
 * @param model its template, or the request's own in its place
 * @throws OctavoError `invalid_request` when the model has no chat template, its template refuses
 *   the messages, or the last one cannot be continued
 */
export function renderMessages(
  messages: readonly Message[],
  { chatTemplate }: Pick<ServedModel, 'chatTemplate'>,
  { continuesFinal = false, template: own = null, ...options }: MessageOptions = {},
): PromptText {
  if (chatTemplate === null) {
    throw new OctavoError(
      'invalid_request',
      'the model has no chat template: use /v1/completions, or give the server one by --chat-template',
      { param: 'messages' },
    );
  }
  if (own !== null && options.tools && !chatTemplate.takesTools) {
    const message = "tools: the request's chat template does not show them";
    throw new OctavoError('invalid_request', message, { param: 'tools' });
  }
  const all = withToolCalls(messages.map(withOwnFields));
  const names = namesOfCalls(all);
  const turns = all.map((message, index) => toTemplateMessage(message, index, names));
  const prompt = chatTemplate.renderPrompt(turns, options);
  assertRolesAreShown(turns, chatTemplate, options);
  const last = turns.at(-1);
  return continuesFinal && last ? behindText(prompt, last) : prompt;
}

/**
 * Removes what the template writes after the last message's text. As in transformers, trailing
 * white space may be removed.
 */
function behindText(
  { text, client }: PromptText,
  { content, tool_calls }: TemplateMessage,
): PromptText {
  const said = textOfParts(content);
  const words = said.trim();
  const start = words === '' || tool_calls ? -1 : text.lastIndexOf(words);
  if (start < 0) {
    const message =
      words === '' || tool_calls
        ? 'continue_final_message: the last message must have content, and no calls'
        : "continue_final_message: the model's chat template does not show the last message as it is";
    throw new OctavoError('invalid_request', message, { param: 'continue_final_message' });
  }
  const whole = said.trimStart();
  const end = start + (text.startsWith(whole, start) ? whole : words).length;
  return { text: text.slice(0, end), client: spansWithin(client, 0, end) };
}

/**
 * Only the assistant calls and thinks. In a message of anyone else these fields are unknown ones:
 * they are ignored, whatever is in them.
 */
function withOwnFields(message: Message): Message {
  if (message.role === 'assistant') return message;
  const { role, content = null, name = null, tool_call_id: callId = null } = message;
  return { role, content, name, tool_call_id: callId };
}

/**
 * Converts calls in OpenAI's older form (`function_call`, and a result with the role `function`) to
 * the newer one, with ids that all templates accept.
 */
function withToolCalls(messages: readonly Message[]): readonly Message[] {
  let id = '';
  return messages.map((message, index): Message => {
    const { role, function_call: call } = message;
    if (role === 'function')
      return { ...message, role: 'tool', ...(id ? { tool_call_id: id } : {}) };
    if (!call || message.tool_calls) return message;
    id = `call${String(index % 100_000).padStart(5, '0')}`;
    return { ...message, tool_calls: [{ id, type: 'function', function: call }] };
  });
}

/**
 * The function of each call id. Some templates need the function's name with a result, which
 * OpenAI's clients do not send.
 */
function namesOfCalls(messages: readonly Message[]): ReadonlyMap<string, string> {
  const calls = messages.flatMap((message) => message.tool_calls ?? []);
  return new Map(calls.flatMap(({ id, function: { name } }) => (id ? [[id, name]] : [])));
}

function toTemplateMessage(
  message: Message,
  index: number,
  names: ReadonlyMap<string, string>,
): TemplateMessage {
  const { role, tool_calls: calls, tool_call_id: callId } = message;
  const reasoning = message.reasoning_content ?? message.reasoning;
  const name = message.name ?? (callId ? names.get(callId) : undefined);
  return {
    // Templates only know the role's older name.
    role: role === 'developer' ? 'system' : role,
    content: contentOf(message, index),
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

/** The message's text; templates have no notion of refusals. */
function textOf({ content, refusal }: Message): string {
  if (typeof content === 'string') return content;
  if (!content) return refusal ?? '';
  return content
    .map((part) => {
      if (part.type === 'text') return part.text;
      return part.type === 'refusal' ? part.refusal : '';
    })
    .join('');
}

/**
 * The message's text; with images, its parts in their order.
 *
 * @throws OctavoError `invalid_request` for an image that was not read before
 */
function contentOf(message: Message, index: number): string | TemplatePart[] {
  const { content } = message;
  if (typeof content === 'string' || !content?.some(isImage)) return textOf(message);
  return content.map((part, place): TemplatePart => {
    if (part.type !== 'image_url') {
      return part.type === 'refusal' ? { type: 'text', text: part.refusal } : part;
    }
    const { at = `messages[${index}].content[${place}]` } = part;
    throw new OctavoError('invalid_request', `${at}: the model reads text, not images`, {
      param: at,
    });
  });
}

const isImage = ({ type }: { readonly type: string }): boolean =>
  type === 'image' || type === 'image_url';

function textOfParts(content: TemplateMessage['content']): string {
  if (content === null || typeof content === 'string') return content ?? '';
  return content.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/** Clients send arguments as JSON text; templates expect an object. */
function withParsedArguments(call: CallOfMessage, at: string): object {
  const given = parsed(call.function.arguments);
  if (tooDeepPath(given)) {
    const param = `${at}.function.arguments`;
    const message = `${param} are nested too deeply: at most ${MAX_NESTING} levels are allowed`;
    throw new OctavoError('invalid_request', message, { param });
  }
  return { ...call, function: { ...call.function, arguments: given } };
}

function parsed(text: string): unknown {
  // Clients send an empty text for a function without parameters.
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
