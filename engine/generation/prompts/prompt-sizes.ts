import type { Message } from '../message.js';

// What is larger goes to a thread: each of these takes some milliseconds.
/** JSON values of a conversation with its tools; a template takes up to 20 us for one. */
const INLINE_VALUES = 150;
/** UTF-16 units of a conversation. */
const INLINE_CHARACTERS = 65_536;
/** UTF-16 units of a text that is tokenized. */
export const INLINE_TEXT = 8192;

/** Whether a conversation is rendered on the caller's thread. */
export function isSmall(conversation: unknown): boolean {
  let values = INLINE_VALUES;
  let characters = INLINE_CHARACTERS;
  const left: unknown[] = [conversation];
  while (left.length > 0 && values > 0 && characters >= 0) {
    const next = left.pop();
    values--;
    if (typeof next === 'string') characters -= next.length;
    if (typeof next !== 'object' || next === null) continue;
    for (const inner of Array.isArray(next) ? next : Object.values(next)) left.push(inner);
  }
  return left.length === 0 && characters >= 0;
}

/** For messages: "4096 messages with 8192 characters, and 2 tools". */
export function describeConversation(
  messages: readonly Message[],
  tools: readonly object[] | null,
): string {
  const characters = messages.reduce((sum, message) => sum + lengthOf(message), 0);
  const shown = tools ? `, and ${tools.length} tools` : '';
  return `${messages.length} messages with ${characters} characters${shown}`;
}

function lengthOf({ content, tool_calls: calls }: Message): number {
  const parts = typeof content === 'string' ? content.length : JSON.stringify(content ?? '').length;
  return parts + (calls ? JSON.stringify(calls).length : 0);
}
