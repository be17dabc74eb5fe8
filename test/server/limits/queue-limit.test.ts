import { expect, it } from 'vitest';
import { QueueLimit } from '../../../server/limits/queue-limit.js';

const waiting = (promptTokens: number) => {
  const request = { promptTokens, waits: () => request.still, still: true };
  return request;
};

it('counts those who wait, not those who have begun', () => {
  const queue = new QueueLimit({ maxRequests: 2, maxTokens: 0 });
  const [a, b, c] = [waiting(1), waiting(1), waiting(1)];
  queue.enter(a);
  queue.enter(b);
  expect(() => queue.enter(c)).toThrow('2 requests wait already; at most 2 may');
  a.still = false;
  queue.enter(c);
  queue.leave(b);
  queue.enter(waiting(1));
  expect(() => queue.enter(waiting(1))).toThrow('overloaded');
});

it('counts prompt tokens, but lets a large prompt in when nobody waits', () => {
  const queue = new QueueLimit({ maxRequests: 0, maxTokens: 100 });
  const large = waiting(500);
  queue.enter(large);
  expect(() => queue.enter(waiting(1))).toThrow('500 prompt tokens wait already; at most 100 may');
  queue.leave(large);
  queue.enter(waiting(60));
  queue.enter(waiting(40));
  expect(() => queue.enter(waiting(1))).toThrow('overloaded');
});
