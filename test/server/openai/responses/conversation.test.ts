import { expect, test } from 'vitest';
import type { TokenId } from '../../../../scheduler/ids.js';
import { encodeToFit } from '../../../../server/openai/responses/conversation.js';
import type { Item, MessageItem } from '../../../../server/openai/responses/items.js';

const message = (role: MessageItem['role'], text: string): Item => ({
  id: text,
  type: 'message',
  status: 'completed',
  role,
  content: [{ type: 'input_text', text }],
});

/** As many tokens as characters, and one for each item. */
const promptOf = (items: readonly Item[]) => ({
  tokenIds: items.flatMap(({ id }) => Array.from({ length: id.length + 1 }, () => 0 as TokenId)),
});

const encode = (items: readonly Item[]) => Promise.resolve(promptOf(items));

test('the longest end that begins with a user and fits, for every room', async () => {
  const items = Array.from({ length: 13 }, (_, i) =>
    message(i % 3 === 1 ? 'user' : 'assistant', 'x'.repeat((i * 7) % 5)),
  );
  const starts = [0, 1, 4, 7, 10];
  const lengths = starts.map((start) => promptOf(items.slice(start)).tokenIds.length);
  for (let room = 1; room <= (lengths[0] ?? 0) + 1; room++) {
    // Too long whatever is left out: the shortest stays.
    const expected = lengths.find((length) => length <= room) ?? lengths.at(-1);
    expect([room, (await encodeToFit(items, room, encode))?.tokenIds.length]).toEqual([
      room,
      expected,
    ]);
  }
});

test('a conversation without a second user is not cut', async () => {
  const items = [message('user', 'abc'), message('assistant', 'def')];
  expect((await encodeToFit(items, 2, encode))?.tokenIds.length).toBe(8);
});

test('what is too long to be counted is too long', async () => {
  const items = ['aaaa', 'bb', 'c'].map((text) => message('user', text));
  const upTo = (most: number) => (given: readonly Item[]) =>
    Promise.resolve(promptOf(given).tokenIds.length > most ? null : promptOf(given));
  expect((await encodeToFit(items, 5, upTo(5)))?.tokenIds.length).toBe(5);
  expect((await encodeToFit(items, 2, upTo(5)))?.tokenIds.length).toBe(2);
  expect((await encodeToFit(items, 1, upTo(5)))?.tokenIds.length).toBe(2);
  expect(await encodeToFit(items, 1, upTo(1))).toBeNull();
});
