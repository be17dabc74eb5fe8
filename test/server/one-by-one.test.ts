import { expect, test } from 'vitest';
import { OneByOne } from '../../server/http/turns.js';

test('long work of many requests: in order, and others get their turn between any two', async () => {
  const oneByOne = new OneByOne();
  const seen: string[] = [];
  const others = setInterval(() => seen.push('other'), 0);
  await Promise.all(
    ['a', 'b', 'c'].map(async (name) => {
      await oneByOne.turn();
      seen.push(name);
      const end = performance.now() + 20;
      while (performance.now() < end);
    }),
  );
  clearInterval(others);
  expect(seen.filter((name) => name !== 'other')).toEqual(['a', 'b', 'c']);
  const between = seen.slice(seen.indexOf('a'), seen.indexOf('c') + 1);
  expect(between.join(' ')).toMatch(/^a (other )+b (other )+c$/);
});
