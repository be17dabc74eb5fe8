import { describe, expect, it } from 'vitest';
import type { BlockTable } from '../../kvcache/block-table.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import { newTable, range } from '../support/sequences.js';

const BLOCK = 4;

function manager(numBlocks: number, enablePrefixCaching = true): KvCacheManager {
  return new KvCacheManager({ numBlocks, blockSize: BLOCK, enablePrefixCaching });
}

/** Admits a sequence as the scheduler does: hits first, all of its tokens in one step. */
function admit(cache: KvCacheManager, tokens: readonly number[], table = newTable()): BlockTable {
  const hits = cache.findCachedPrefix(table, tokens);
  const computed = hits.length * cache.blockSize;
  expect(cache.allocate(table, tokens, computed, tokens.length, hits)).not.toBeNull();
  return table;
}

describe('KvCacheManager', () => {
  it('invariant 1: a block holds blockSize tokens', () => {
    const cache = manager(10);
    expect([1, 4, 5, 8, 9].map((tokens) => cache.blocksFor(tokens))).toEqual([1, 1, 2, 2, 3]);
    const table = admit(cache, range(0, 9));
    expect(table.blocks).toHaveLength(3);
    expect(new Set(table.blocks).size).toBe(3);
  });

  it('invariant 2: only full blocks are hashed, and equal prefixes hit', () => {
    const cache = manager(10);
    const first = admit(cache, range(0, 10));
    expect(cache.pool.numCached).toBe(2);
    const second = newTable();
    expect(cache.findCachedPrefix(second, [...range(0, 8), 99])).toEqual(first.blocks.slice(0, 2));
    expect(cache.findCachedPrefix(newTable(), [99, ...range(1, 8)])).toEqual([]);
    // The second block's tokens alone are not enough: its parent counts.
    expect(cache.findCachedPrefix(newTable(), [...range(4, 8), 99])).toEqual([]);
  });

  it('invariant 2: blocks that generated tokens fill are hashed like those of a prompt', () => {
    const cache = manager(10);
    const tokens = range(0, 7);
    const table = admit(cache, tokens);
    tokens.push(7);
    cache.allocate(table, tokens, 7, 8);
    expect(cache.findCachedPrefix(newTable(), [...tokens, 8])).toEqual(table.blocks);
  });

  it('invariant 2: a block filled in this step is a hit for the next request of the same step', () => {
    const cache = manager(10);
    const first = newTable();
    cache.allocate(first, range(0, 8), 0, 4);
    expect(cache.findCachedPrefix(newTable(), range(0, 8))).toEqual([first.blocks[0]]);
  });

  it('invariant 2: cache_salt and model keep prefixes apart', () => {
    const cache = manager(10);
    admit(cache, range(0, 9), newTable('alice'));
    expect(cache.findCachedPrefix(newTable('alice'), range(0, 9))).toHaveLength(2);
    expect(cache.findCachedPrefix(newTable('bob'), range(0, 9))).toEqual([]);
    expect(cache.findCachedPrefix(newTable(null), range(0, 9))).toEqual([]);
    expect(cache.findCachedPrefix(newTable('alice', 'other'), range(0, 9))).toEqual([]);
  });

  it('invariant 3: the last token is always computed', () => {
    const cache = manager(10);
    admit(cache, range(0, 8));
    expect(cache.findCachedPrefix(newTable(), range(0, 8))).toHaveLength(1);
    expect(cache.findCachedPrefix(newTable(), range(0, 9))).toHaveLength(2);
  });

  it('invariant 4: a freed block is a hit until it is reused', () => {
    const cache = manager(3);
    const table = admit(cache, range(0, 9));
    const [first] = table.blocks;
    cache.release(table);
    expect(cache.pool.numUsed).toBe(0);
    expect(cache.findCachedPrefix(newTable(), range(0, 9))).toHaveLength(2);
    const other = admit(cache, range(100, 8));
    // Three blocks: the unhashed one and the tail of the chain were reused, its head was not.
    expect(cache.findCachedPrefix(newTable(), range(0, 9))).toEqual([first]);
    cache.checkIntegrity([other]);
  });

  it('invariants 5 and 6: the known case of ten blocks', () => {
    const cache = manager(10);
    const a = admit(cache, range(0, 14));
    const b = admit(cache, [...range(0, 12), 50]);
    expect(b.blocks.slice(0, 3)).toEqual(a.blocks.slice(0, 3));
    const [one, two, three, four] = a.blocks;
    const five = b.blocks[3];
    const neverUsed = cache.pool.freeBlocks();
    cache.release(a);
    cache.release(b);
    expect(cache.pool.freeBlocks()).toEqual([five, four, ...neverUsed, three, two, one]);
  });

  it('invariant 7: allocation forgets a hash when it reuses the block, and not before', () => {
    const cache = manager(2);
    const table = admit(cache, range(0, 8));
    cache.release(table);
    expect(cache.pool.numCached).toBe(2);
    const other = admit(cache, range(100, 3));
    expect(cache.pool.numCached).toBe(1);
    cache.release(other);
    expect(cache.pool.numCached).toBe(1);
  });

  it('invariant 8: hits are never the victims of their own allocation', () => {
    const cache = manager(3);
    cache.release(admit(cache, range(0, 12)));
    // All three free blocks hold the prefix; two are hits, so only one may be reused.
    const table = admit(cache, [...range(0, 8), 99]);
    expect(cache.findCachedPrefix(newTable(), range(0, 9))).toEqual(table.blocks.slice(0, 2));
    cache.release(table);
    const tokens = [...range(0, 8), 98, 99, 100, 101, 102];
    const hungry = newTable();
    const hits = cache.findCachedPrefix(hungry, tokens);
    expect(cache.allocate(hungry, tokens, 8, tokens.length, hits)).toBeNull();
  });

  it('invariant 9: an allocation that does not fit changes nothing', () => {
    const cache = manager(4);
    const holder = admit(cache, range(0, 9));
    const before = { free: cache.pool.freeBlocks(), cached: cache.pool.numCached };
    const table = newTable();
    const tokens = [...range(0, 8), ...range(200, 5)];
    const hits = cache.findCachedPrefix(table, tokens);
    expect(hits).toHaveLength(2);
    expect(cache.allocate(table, tokens, 8, tokens.length, hits)).toBeNull();
    expect(table.blocks).toEqual([]);
    expect({ free: cache.pool.freeBlocks(), cached: cache.pool.numCached }).toEqual(before);
    cache.checkIntegrity([holder, table]);
  });

  it('invariant 10: a fork shares all blocks, and a shared partial block is copied before it is written', () => {
    const cache = manager(10);
    const tokens = range(0, 6);
    const parent = admit(cache, tokens);
    const child = cache.fork(parent);
    expect(child.blocks).toEqual(parent.blocks);
    const [full, partial] = parent.blocks;

    expect(cache.allocate(parent, [...tokens, 6], 6, 7)).toEqual([
      { from: partial, to: parent.blocks[1] },
    ]);
    expect(parent.blocks[1]).not.toBe(partial);
    // The child is alone with the old block now: no second copy.
    expect(cache.allocate(child, [...tokens, 60], 6, 7)).toEqual([]);
    expect(child.blocks).toEqual([full, partial]);
    cache.checkIntegrity([parent, child]);
  });

  it('invariant 10: a fork at a block border needs no copy', () => {
    const cache = manager(10);
    const parent = admit(cache, range(0, 8));
    const child = cache.fork(parent);
    expect(cache.allocate(parent, range(0, 9), 8, 9)).toEqual([]);
    expect(cache.allocate(child, [...range(0, 8), 70], 8, 9)).toEqual([]);
    expect(parent.blocks[2]).not.toBe(child.blocks[2]);
  });

  it('invariant 11: the prefix cache is not reset while blocks are in use', () => {
    const cache = manager(10);
    const table = admit(cache, range(0, 9));
    expect(cache.resetPrefixCache()).toBe(false);
    expect(cache.findCachedPrefix(newTable(), range(0, 9))).toHaveLength(2);
    cache.release(table);
    expect(cache.resetPrefixCache()).toBe(true);
    expect(cache.findCachedPrefix(newTable(), range(0, 9))).toEqual([]);
    cache.checkIntegrity([]);
  });

  it('invariant 12: checkIntegrity names what is wrong', () => {
    const cache = manager(4);
    const table = admit(cache, range(0, 5));
    expect(() => cache.checkIntegrity([])).toThrow(/in 0 tables, its count is 1/);
    expect(() => cache.checkIntegrity([table, table])).toThrow(/in 2 tables, its count is 1/);
    cache.checkIntegrity([table]);
  });

  it('caches nothing when prefix caching is off', () => {
    const cache = manager(10, false);
    admit(cache, range(0, 9));
    expect(cache.pool.numCached).toBe(0);
    expect(cache.findCachedPrefix(newTable(), range(0, 9))).toEqual([]);
  });
});
