import { clip } from '../../../engine/clip.js';
import { OctavoError } from '../../../engine/errors.js';
import type { Message } from '../../../engine/generation/message.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { toArguments } from './custom-tools.js';
import type { CustomToolCallItem, FunctionCallItem, Item, ToolOutput } from './items.js';

/**
 * The messages that a chat template knows. Calls join the assistant's message before them:
 * templates expect one message a turn. And instructions and what a developer says behind them are
 * one system message, for many templates refuse a second one.
 *
 * @throws OctavoError `invalid_request` for the output of a call that is not in the conversation
 */
export function toMessages(instructions: string | null, items: readonly Item[]): Message[] {
  const messages: Message[] = [];
  if (instructions !== null) messages.push({ role: 'system', content: instructions });
  const called = new Set<string>();
  let reasoning: string | null = null;
  /** Of the turn that begins now, if something was thought before it. */
  const thought = (): Pick<Message, 'reasoning_content'> => {
    const text = reasoning;
    reasoning = null;
    return text === null ? {} : { reasoning_content: text };
  };
  for (const [index, item] of items.entries()) {
    switch (item.type) {
      case 'message': {
        const content = contentOf(item.content, `input[${index}].content`);
        const before = messages.length === 1 ? messages[0] : null;
        const isJoined = before && isSystem(before.role) && isSystem(item.role);
        if (isJoined && typeof before.content === 'string' && typeof content === 'string') {
          messages[0] = { ...before, content: `${before.content}\n\n${content}` };
          break;
        }
        messages.push({
          role: item.role,
          content,
          ...(item.role === 'assistant' ? thought() : {}),
        });
        break;
      }
      case 'function_call':
      case 'custom_tool_call': {
        called.add(item.call_id);
        const last = messages.at(-1);
        if (last?.role === 'assistant' && reasoning === null) {
          last.tool_calls = [...(last.tool_calls ?? []), toCall(item)];
        } else {
          messages.push({
            role: 'assistant',
            content: null,
            tool_calls: [toCall(item)],
            ...thought(),
          });
        }
        break;
      }
      case 'function_call_output':
      case 'custom_tool_call_output': {
        if (!called.has(item.call_id)) {
          const kind = item.type === 'function_call_output' ? 'function' : 'custom tool';
          const message = `input: no ${kind} call for the output with call_id '${clip(item.call_id)}'`;
          throw new OctavoError('invalid_request', message, { param: 'input' });
        }
        const content = contentOf(item.output, `input[${index}].output`);
        messages.push({ role: 'tool', content, tool_call_id: item.call_id });
        break;
      }
      case 'reasoning':
        reasoning = item.content.map(({ text }) => text).join('');
        break;
    }
  }
  return messages;
}

/** One text; with images, parts in their order. */
function contentOf(content: ToolOutput, at: string): NonNullable<Message['content']> {
  if (typeof content === 'string') return content;
  if (content.every((part) => part.type !== 'input_image')) {
    return content.map(({ text }) => text).join('');
  }
  return content.map((part, place) =>
    part.type === 'input_image'
      ? { type: 'image_url', image_url: part.image_url, at: `${at}[${place}]` }
      : { type: 'text', text: part.text },
  );
}

const isSystem = (role: Message['role']): boolean => role === 'system' || role === 'developer';

const toCall = (item: FunctionCallItem | CustomToolCallItem) => ({
  id: item.call_id,
  type: 'function' as const,
  function: {
    name: item.name,
    arguments: item.type === 'function_call' ? item.arguments : toArguments(item.input),
  },
});

/**
 * Encodes a conversation, without its beginning if it is too long and may be cut
 * (`truncation: auto`). It is cut before a user's message only: no output loses its call. At least
 * the last one stays.
 *
 * @param room most tokens that the prompt may have
 * @param encode may be called for any end of `items`; fewer items give fewer tokens. Null: so many
 *   that they were not even counted
 * @returns null when `encode` gives nothing else
 */
export async function encodeToFit<Prompt extends { readonly tokenIds: readonly TokenId[] }>(
  items: readonly Item[],
  room: number,
  encode: (items: readonly Item[]) => Promise<Prompt | null>,
): Promise<Prompt | null> {
  const fits = (prompt: Prompt | null): boolean =>
    prompt !== null && prompt.tokenIds.length <= room;
  let prompt = await encode(items);
  if (fits(prompt)) return prompt;
  const starts = turnStarts(items);
  // Binary search for the first start that fits: encoding a long conversation once for each of its
  // turns would be too slow.
  let [low, high] = [0, starts.length - 1];
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const shorter = await encode(items.slice(starts[middle]));
    if (fits(shorter)) {
      prompt = shorter;
      high = middle - 1;
    } else {
      low = middle + 1;
      if (!fits(prompt)) prompt = shorter;
    }
  }
  return prompt;
}

/** Where a conversation may be cut: before the users' messages, except a first one. */
export const turnStarts = (items: readonly Item[]): number[] =>
  items.flatMap((item, index) =>
    index > 0 && item.type === 'message' && item.role === 'user' ? [index] : [],
  );
