import { expect, it } from 'vitest';
import { EventBuffer } from '../../../server/kv-events/event-buffer.js';

const payload = (length: number, mark = 1): Uint8Array => new Uint8Array(length).fill(mark);
const numbers = (buffer: EventBuffer, start = 0): number[] =>
  buffer.from(start).map(({ seq }) => seq);

it('numbers batches from 0, and gives those from a number on', () => {
  const buffer = new EventBuffer(10, 1000);
  expect([1, 2, 3].map((mark) => buffer.add(payload(4, mark)))).toEqual([0, 1, 2]);
  expect(buffer.from(1)).toEqual([
    { seq: 1, payload: payload(4, 2) },
    { seq: 2, payload: payload(4, 3) },
  ]);
  expect(numbers(buffer, 3)).toEqual([]);
});

it('gives up the oldest batches when there are too many', () => {
  const buffer = new EventBuffer(3, 1000);
  for (let i = 0; i < 8; i++) buffer.add(payload(1, i));
  expect(buffer.from(0)).toEqual([5, 6, 7].map((seq) => ({ seq, payload: payload(1, seq) })));
});

it('gives up the oldest batches when they are too large, but never the newest', () => {
  const buffer = new EventBuffer(100, 10);
  for (const size of [4, 4, 4]) buffer.add(payload(size));
  expect(numbers(buffer)).toEqual([1, 2]);
  buffer.add(payload(50));
  expect(numbers(buffer)).toEqual([3]);
  buffer.add(payload(3));
  expect(numbers(buffer)).toEqual([4]);
});
