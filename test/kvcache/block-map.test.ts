import { expect, it } from 'vitest';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { historyOf, newSequence } from '../support/sequences.js';

const [FREE, CACHED, USED, SHARED] = [0, 1, 2, 3];

it('maps blocks from free through used and shared to cached, with their chains and ages', () => {
  let time = 10.4;
  const cache = new KvCacheManager({
    numBlocks: 6,
    blockSize: 4,
    enablePrefixCaching: true,
    history: historyOf(6, () => time),
  });
  const tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const table = newSequence();
  cache.reserve(table, 0, 6);
  cache.commit(table, tokens, 6);
  time = 20;
  cache.reserve(table, 6, 10);
  cache.commit(table, tokens, 10);
  const first = cache.map();
  expect([...first.states]).toEqual([USED, USED, USED, FREE, FREE, FREE]);
  expect([...first.positions]).toEqual([0, 1, 2, -1, -1, -1]);
  expect([...first.parents]).toEqual([-1, 0, 1, -1, -1, -1]);
  expect([...first.allocatedAt]).toEqual([10, 10, 20, 0, 0, 0]);

  const child = cache.fork(table);
  expect([...cache.map().states]).toEqual([SHARED, SHARED, SHARED, FREE, FREE, FREE]);
  // The child writes into the partial block and gets a copy, at the same place of the chain.
  time = 30;
  cache.reserve(child, 10, 11);
  const forked = cache.map();
  const copy = child.tables[0][2];
  expect([forked.states[copy], forked.positions[copy], forked.parents[copy]]).toEqual([USED, 2, 1]);

  cache.release(table);
  cache.release(child);
  const released = cache.map();
  expect([...released.states]).toEqual([CACHED, CACHED, FREE, FREE, FREE, FREE]);
  expect([...released.allocatedAt]).toEqual([10, 10, 0, 0, 0, 0]);
});
