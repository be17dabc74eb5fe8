import { expect, it } from 'vitest';
import { BlockBirths } from '../../kvcache/block-map.js';
import { BlockTable } from '../../kvcache/block-table.js';
import type { BlockHash } from '../../kvcache/ids.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';

const [FREE, CACHED, USED, SHARED] = [0, 1, 2, 3];

it('maps blocks from free through used and shared to cached, with their chains and ages', () => {
  let time = 10.4;
  const births = new BlockBirths(6, () => time);
  const cache = new KvCacheManager({
    numBlocks: 6,
    blockSize: 4,
    enablePrefixCaching: true,
    births,
  });
  const tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const table = new BlockTable('root' as BlockHash);
  cache.allocate(table, tokens, 0, 6);
  time = 20;
  cache.allocate(table, tokens, 6, 10);
  const first = cache.map();
  expect([...first.states]).toEqual([USED, USED, USED, FREE, FREE, FREE]);
  expect([...first.positions]).toEqual([0, 1, 2, -1, -1, -1]);
  expect([...first.parents]).toEqual([-1, 0, 1, -1, -1, -1]);
  expect([...first.bornAt]).toEqual([10, 10, 20, 0, 0, 0]);

  const child = cache.fork(table);
  expect([...cache.map().states]).toEqual([SHARED, SHARED, SHARED, FREE, FREE, FREE]);
  // The child writes into the partial block and gets a copy, at the same place of the chain.
  time = 30;
  cache.allocate(child, [...tokens, 11], 10, 11);
  const forked = cache.map();
  const copy = child.blocks[2];
  expect([forked.states[copy], forked.positions[copy], forked.parents[copy]]).toEqual([USED, 2, 1]);

  cache.release(table);
  cache.release(child);
  const released = cache.map();
  expect([...released.states]).toEqual([CACHED, CACHED, FREE, FREE, FREE, FREE]);
  expect([...released.bornAt]).toEqual([10, 10, 0, 0, 0, 0]);
});
