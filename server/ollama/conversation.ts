import type { Static } from 'typebox';
import type { CallOfMessage, Message } from '../../engine/generation/message.js';
import type { ChatTemplate } from '../../engine/text/chat-template.js';
import { templateVariables } from '../openai/fields/template-fields.js';
import { type GenerationBody, type OllamaChatSchema, refuseImages } from './fields.js';

type OllamaMessage = NonNullable<Static<typeof OllamaChatSchema>['messages']>[number];

/**
 * The messages in the form of chats.
 *
 * @throws OctavoError `invalid_request` for images
 */
export function toMessages(messages: readonly OllamaMessage[]): Message[] {
  return messages.map((message, index) => {
    const { role, content, thinking, tool_calls: calls } = message;
    refuseImages(message.images, `messages[${index}].images`);
    return {
      role,
      content: content ?? '',
      ...(thinking && { reasoning_content: thinking, reasoning: thinking }),
      ...(calls &&
        calls.length > 0 && {
          tool_calls: calls.map(toCall),
        }),
      ...(message.tool_name && { name: message.tool_name }),
      ...(message.tool_call_id && { tool_call_id: message.tool_call_id }),
    };
  });
}

function toCall({
  id,
  function: { name, arguments: values },
}: NonNullable<OllamaMessage['tool_calls']>[number]): CallOfMessage {
  const call = { name, arguments: JSON.stringify(values ?? {}) };
  return { ...(id && { id }), type: 'function', function: call };
}

/** Whether, and how much, the model is to think, as its template knows it. Absent: as it does. */
export function thinkingVariables(
  { think }: Pick<GenerationBody, 'think'>,
  template: ChatTemplate | null,
): Record<string, unknown> {
  if (think === undefined || think === null) return {};
  if (think === false) return templateVariables({ reasoning_effort: 'none' }, template);
  const effort = think === true ? {} : { reasoning_effort: think };
  return { ...templateVariables(effort, template), enable_thinking: true };
}
