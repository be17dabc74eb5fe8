import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { Message } from '../routes/chat-messages.js';
import { clip } from '../text/clip.js';
import type { FunctionCallItem, Item } from './items.js';

/**
 * The messages that a chat template knows. Calls join the assistant's message before them: templates expect one message a turn.
 *
 * @throws OctavoError `invalid_request` for the output of a call that nobody made
 */
export function toMessages(instructions: string | null, items: readonly Item[]): Message[] {
  const messages: Message[] = [];
  if (instructions !== null) messages.push({ role: 'system', content: instructions });
  const called = new Map<string, string>();
  for (const item of items) {
    switch (item.type) {
      case 'message':
        messages.push({ role: item.role, content: item.content.map(({ text }) => text).join('') });
        break;
      case 'function_call':
        called.set(item.call_id, item.name);
        addCall(messages, item);
        break;
      case 'function_call_output': {
        const name = called.get(item.call_id);
        if (name === undefined) {
          const message = `input: no function call for the output with call_id '${clip(item.call_id)}'`;
          throw new OctavoError('invalid_request', message, { param: 'input' });
        }
        messages.push({ role: 'tool', content: item.output, tool_call_id: item.call_id, name });
        break;
      }
      case 'reasoning':
        // Templates leave out what was thought in earlier turns.
        break;
    }
  }
  return messages;
}

function addCall(messages: Message[], item: FunctionCallItem): void {
  const call = {
    id: item.call_id,
    type: 'function' as const,
    function: { name: item.name, arguments: item.arguments },
  };
  const last = messages.at(-1);
  if (last?.role === 'assistant') last.tool_calls = [...(last.tool_calls ?? []), call];
  else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
}

/**
 * Encodes a conversation, without its beginning if it is too long and may be cut (`truncation: auto`). It is cut before a user's
 * message only: no output loses its call. At least the last one stays.
 *
 * @param room most tokens that the prompt may have
 * @param encode may be called for any end of `items`; fewer items give fewer tokens
 */
export function encodeToFit(
  items: readonly Item[],
  room: number,
  encode: (items: readonly Item[]) => TokenId[],
): TokenId[] {
  let tokens = encode(items);
  if (tokens.length <= room) return tokens;
  const starts = items.flatMap((item, index) =>
    index > 0 && item.type === 'message' && item.role === 'user' ? [index] : [],
  );
  // Binary search for the first start that fits: encoding a long conversation once for each of its turns would be too slow.
  let [low, high] = [0, starts.length - 1];
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const shorter = encode(items.slice(starts[middle]));
    if (shorter.length <= room) {
      tokens = shorter;
      high = middle - 1;
    } else {
      low = middle + 1;
      if (tokens.length > room) tokens = shorter;
    }
  }
  return tokens;
}
