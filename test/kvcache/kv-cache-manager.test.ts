import { describe, expect, it } from 'vitest';
import type { BlockHash, BlockId } from '../../kvcache/ids.js';
import type { BlockCopy } from '../../kvcache/kv-cache-config.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { historyOf, newSequence, range } from '../support/sequences.js';

const BLOCK = 4;

function manager(numBlocks: number, enablePrefixCaching = true): KvCacheManager {
  const history = historyOf(numBlocks);
  return new KvCacheManager({ numBlocks, blockSize: BLOCK, enablePrefixCaching, history });
}

const blocksOf = (sequence: SequenceBlocks): BlockId[] => sequence.tables[0];

/** The cached prefix, as blocks. */
function hitsOf(
  cache: KvCacheManager,
  tokens: readonly number[],
  sequence = newSequence(),
): readonly BlockId[] {
  return cache.findCachedPrefix(sequence, tokens)?.tables[0] ?? [];
}

/** What the scheduler does for a step of a sequence, all of whose tokens are known. */
function take(
  cache: KvCacheManager,
  sequence: SequenceBlocks,
  tokens: readonly number[],
  numComputed: number,
  numTokens: number,
): BlockCopy[] | null {
  const prefix = blocksOf(sequence).length === 0 ? cache.findCachedPrefix(sequence, tokens) : null;
  const computed = Math.max(numComputed, prefix?.numTokens ?? 0);
  const copies = cache.reserve(sequence, computed, numTokens, prefix);
  if (copies) cache.commit(sequence, tokens, numTokens);
  return copies;
}

/** Admits a sequence as the scheduler does: hits first, all of its tokens in one step. */
function admit(
  cache: KvCacheManager,
  tokens: readonly number[],
  sequence = newSequence(),
): SequenceBlocks {
  expect(take(cache, sequence, tokens, 0, tokens.length)).not.toBeNull();
  return sequence;
}

describe('KvCacheManager', () => {
  it('invariant 1: a block holds blockSize tokens', () => {
    const cache = manager(10);
    expect([1, 4, 5, 8, 9].map((tokens) => cache.blocksFor(tokens))).toEqual([1, 1, 2, 2, 3]);
    const table = admit(cache, range(0, 9));
    expect(blocksOf(table)).toHaveLength(3);
    expect(new Set(blocksOf(table)).size).toBe(3);
  });

  it('invariant 2: only full blocks are hashed, and equal prefixes hit', () => {
    const cache = manager(10);
    const first = admit(cache, range(0, 10));
    expect(cache.pool.numCached).toBe(2);
    const second = newSequence();
    expect(hitsOf(cache, [...range(0, 8), 99], second)).toEqual(blocksOf(first).slice(0, 2));
    expect(hitsOf(cache, [99, ...range(1, 8)])).toEqual([]);
    // The second block's tokens alone are not enough: its parent counts.
    expect(hitsOf(cache, [...range(4, 8), 99])).toEqual([]);
  });

  it('invariant 2: blocks that generated tokens fill are hashed like those of a prompt', () => {
    const cache = manager(10);
    const tokens = range(0, 7);
    const table = admit(cache, tokens);
    tokens.push(7);
    take(cache, table, tokens, 7, 8);
    expect(hitsOf(cache, [...tokens, 8])).toEqual(blocksOf(table));
  });

  it('invariant 2: a block filled in this step is a hit for the next request of the same step', () => {
    const cache = manager(10);
    const first = newSequence();
    take(cache, first, range(0, 8), 0, 4);
    expect(hitsOf(cache, range(0, 8))).toEqual([blocksOf(first)[0]]);
  });

  it('invariant 2: cache_salt and model keep prefixes apart', () => {
    const cache = manager(10);
    admit(cache, range(0, 9), newSequence('alice'));
    expect(hitsOf(cache, range(0, 9), newSequence('alice'))).toHaveLength(2);
    expect(hitsOf(cache, range(0, 9), newSequence('bob'))).toEqual([]);
    expect(hitsOf(cache, range(0, 9), newSequence(null))).toEqual([]);
    expect(hitsOf(cache, range(0, 9), newSequence('alice', 'other'))).toEqual([]);
  });

  it('tells of each block that lookups find from now on, once', () => {
    const stored: (readonly [BlockId, BlockHash, BlockHash | null])[] = [];
    const cache = new KvCacheManager({
      numBlocks: 10,
      blockSize: BLOCK,
      enablePrefixCaching: true,
      history: historyOf(10),
      onStore: (...content) => stored.push(content),
    });
    const first = admit(cache, range(0, 9));
    const found = blocksOf(first).slice(0, 2);
    const [a, b] = first.hashes;
    expect(stored).toEqual([
      [found[0], a, null],
      [found[1], b, a],
    ]);
    // Two of its blocks are hits.
    const second = admit(cache, range(0, 13));
    expect(stored.slice(2)).toEqual([[blocksOf(second)[2], second.hashes[2], b]]);
  });

  it('invariant 3: the last token is always computed', () => {
    const cache = manager(10);
    admit(cache, range(0, 8));
    expect(hitsOf(cache, range(0, 8))).toHaveLength(1);
    expect(hitsOf(cache, range(0, 9))).toHaveLength(2);
  });

  it('invariant 4: a freed block is a hit until it is reused', () => {
    const cache = manager(3);
    const table = admit(cache, range(0, 9));
    const [first] = blocksOf(table);
    cache.release(table);
    expect(cache.pool.numUsed).toBe(0);
    expect(hitsOf(cache, range(0, 9))).toHaveLength(2);
    const other = admit(cache, range(100, 8));
    // Three blocks: the unhashed one and the tail of the chain were reused, its head was not.
    expect(hitsOf(cache, range(0, 9))).toEqual([first]);
    cache.checkIntegrity([other]);
  });

  it('invariants 5 and 6: the known case of ten blocks', () => {
    const cache = manager(10);
    const a = admit(cache, range(0, 14));
    const b = admit(cache, [...range(0, 12), 50]);
    expect(blocksOf(b).slice(0, 3)).toEqual(blocksOf(a).slice(0, 3));
    const [one, two, three, four] = blocksOf(a);
    const five = blocksOf(b)[3];
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
    expect(hitsOf(cache, range(0, 9))).toEqual(blocksOf(table).slice(0, 2));
    cache.release(table);
    const tokens = [...range(0, 8), 98, 99, 100, 101, 102];
    const hungry = newSequence();
    expect(take(cache, hungry, tokens, 8, tokens.length)).toBeNull();
  });

  it('invariant 9: an allocation that does not fit changes nothing', () => {
    const cache = manager(4);
    const holder = admit(cache, range(0, 9));
    const before = { free: cache.pool.freeBlocks(), cached: cache.pool.numCached };
    const table = newSequence();
    const tokens = [...range(0, 8), ...range(200, 5)];
    expect(hitsOf(cache, tokens, table)).toHaveLength(2);
    expect(take(cache, table, tokens, 8, tokens.length)).toBeNull();
    expect(blocksOf(table)).toEqual([]);
    expect({ free: cache.pool.freeBlocks(), cached: cache.pool.numCached }).toEqual(before);
    cache.checkIntegrity([holder, table]);
  });

  it('invariant 10: a fork shares all blocks, and a shared partial block is copied before it is written', () => {
    const cache = manager(10);
    const tokens = range(0, 6);
    const parent = admit(cache, tokens);
    const child = cache.fork(parent);
    expect(blocksOf(child)).toEqual(blocksOf(parent));
    const [full, partial] = blocksOf(parent);

    expect(take(cache, parent, [...tokens, 6], 6, 7)).toEqual([
      { from: partial, to: blocksOf(parent)[1] },
    ]);
    expect(blocksOf(parent)[1]).not.toBe(partial);
    // The child is alone with the old block now: no second copy.
    expect(take(cache, child, [...tokens, 60], 6, 7)).toEqual([]);
    expect(blocksOf(child)).toEqual([full, partial]);
    cache.checkIntegrity([parent, child]);
  });

  it('invariant 10, without copies: a shared block that is written is computed again', () => {
    const history = historyOf(10);
    const sizes = { numBlocks: 10, blockSize: BLOCK, enablePrefixCaching: true, history };
    const cache = new KvCacheManager({ ...sizes, canCopyBlocks: false });
    const tokens = range(0, 8);
    const parent = admit(cache, tokens);
    const child = cache.fork(parent);
    expect(() => cache.reserve(child, 7, 8)).toThrow('inside of a shared block');
    // In pieces: the first one ends within the block, which was full and cached.
    expect(cache.firstToCompute(child, 7)).toBe(4);
    expect(take(cache, child, tokens, 4, 6)).toEqual([]);
    expect(cache.truncate(child, 6)).toBe(6);
    expect(blocksOf(child)[0]).toBe(blocksOf(parent)[0]);
    expect(blocksOf(child)[1]).not.toBe(blocksOf(parent)[1]);
    expect(cache.firstToCompute(child, 6)).toBe(6);
    expect(cache.firstToCompute(parent, 7)).toBe(7);
    expect(take(cache, child, tokens, 6, 8)).toEqual([]);
    cache.checkIntegrity([parent, child]);
  });

  it('invariant 10: a fork at a block border needs no copy', () => {
    const cache = manager(10);
    const parent = admit(cache, range(0, 8));
    const child = cache.fork(parent);
    expect(take(cache, parent, range(0, 9), 8, 9)).toEqual([]);
    expect(take(cache, child, [...range(0, 8), 70], 8, 9)).toEqual([]);
    expect(blocksOf(parent)[2]).not.toBe(blocksOf(child)[2]);
  });

  it('invariant 11: the prefix cache is not reset while blocks are in use', () => {
    const cache = manager(10);
    const table = admit(cache, range(0, 9));
    expect(cache.resetPrefixCache()).toBe(false);
    expect(hitsOf(cache, range(0, 9))).toHaveLength(2);
    cache.release(table);
    expect(cache.resetPrefixCache()).toBe(true);
    expect(hitsOf(cache, range(0, 9))).toEqual([]);
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
    expect(hitsOf(cache, range(0, 9))).toEqual([]);
  });
});
