import { describe, expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { historyOf, range, rootOf } from '../support/sequences.js';

const BLOCK = 4;
const ALL = 1000;

function manager(numBlocks: number, groups: readonly CacheGroup[] = [FULL_ATTENTION]) {
  const history = historyOf(numBlocks);
  const config = { numBlocks, blockSize: BLOCK, enablePrefixCaching: true, groups, history };
  return new KvCacheManager(config);
}

/** Computes all of a sequence, in one step, which still holds its blocks then. */
function compute(cache: KvCacheManager, tokens: readonly number[]): SequenceBlocks {
  const sequence = cache.newSequence(rootOf());
  const prefix = cache.findCachedPrefix(sequence, tokens);
  expect(cache.reserve(sequence, prefix?.numTokens ?? 0, tokens.length, prefix)).not.toBeNull();
  cache.commit(sequence, tokens, tokens.length);
  cache.truncate(sequence, tokens.length);
  return sequence;
}

/** Computes a prefix, pins it, and gives the blocks of the computation back. */
function pin(cache: KvCacheManager, name: string, tokens: readonly number[], most = ALL): number {
  const sequence = compute(cache, tokens);
  const numTokens = cache.pin(name, { sequence, tokens }, most);
  cache.checkIntegrity([sequence]);
  cache.release(sequence);
  cache.checkIntegrity([]);
  return numTokens;
}

/** Cached tokens of a prompt that has one token more than these. */
const hits = (cache: KvCacheManager, tokens: readonly number[]): number =>
  cache.findCachedPrefix(cache.newSequence(rootOf()), [...tokens, 0])?.numTokens ?? 0;

/** Prompts that have nothing in common, each of which takes all free blocks in turn. */
function flood(cache: KvCacheManager): void {
  const length = Math.floor(cache.pool.numFree / cache.groups.length) * BLOCK;
  for (let i = 1; i <= 3; i++) cache.release(compute(cache, range(1000 * i, length)));
}

describe('pinned prefixes', () => {
  it('outlive a flood, whole blocks of them, and what is unpinned does not', () => {
    const cache = manager(12);
    const tokens = range(0, 19);
    expect(pin(cache, 'a', tokens)).toBe(16);
    cache.release(compute(cache, range(500, 12)));
    flood(cache);
    expect([hits(cache, tokens), hits(cache, range(500, 12))]).toEqual([16, 0]);
    expect(cache.unpin('a')).toBe(true);
    expect(cache.unpin('a')).toBe(false);
    // It is cached as before, and goes like all else.
    expect([hits(cache, tokens), cache.pool.numUsed]).toEqual([16, 0]);
    flood(cache);
    expect(hits(cache, tokens)).toBe(0);
  });

  it('hold what several begin with once, until the last of them is unpinned', () => {
    const cache = manager(20);
    const [a, b] = [range(0, 12), [...range(0, 8), ...range(100, 8)]];
    pin(cache, 'a', a);
    const sequence = cache.newSequence(rootOf());
    expect(cache.pins.numBlocksWith('b', { sequence, tokens: b })).toBe(5);
    // In place of itself, it takes no more than it has.
    const again = cache.newSequence(rootOf());
    expect(cache.pins.numBlocksWith('a', { sequence: again, tokens: a })).toBe(3);
    pin(cache, 'b', b);
    expect([...cache.pins.users().values()].sort((x, y) => x - y)).toEqual([1, 1, 1, 2, 2]);
    expect(cache.pool.numUsed).toBe(5);
    cache.unpin('a');
    flood(cache);
    expect([hits(cache, a), hits(cache, b)]).toEqual([8, 16]);
  });

  it('do not take more blocks than they may, and change nothing then', () => {
    const cache = manager(20);
    expect(pin(cache, 'a', range(0, 16), 4)).toBe(16);
    expect(pin(cache, 'b', range(50, 4), 4)).toBe(0);
    expect(pin(cache, 'a', range(50, 20), 4)).toBe(0);
    expect(cache.pool.numUsed).toBe(4);
    flood(cache);
    expect([hits(cache, range(0, 16)), hits(cache, range(50, 20))]).toEqual([16, 0]);
  });

  it('go when their name gets another prefix', () => {
    const cache = manager(12);
    pin(cache, 'a', range(0, 16));
    expect(pin(cache, 'a', range(50, 8), 4)).toBe(8);
    flood(cache);
    expect([hits(cache, range(0, 16)), hits(cache, range(50, 8))]).toEqual([0, 8]);
  });

  it('are not there when nothing of them is cached', () => {
    const cache = manager(12);
    const prefix = { sequence: cache.newSequence(rootOf()), tokens: range(0, 16) };
    expect(cache.pin('a', prefix, ALL)).toBe(0);
    expect(pin(cache, 'b', range(0, 3))).toBe(0);
    expect(cache.unpin('a')).toBe(false);
  });

  it('are only what a lookup needs of layers with windows and states', () => {
    const window = { kind: 'sliding-window', window: 6 } as const;
    const states = { kind: 'recurrent', checkpointBlocks: 3 } as const;
    const cache = manager(60, [FULL_ATTENTION, window, states]);
    const tokens = range(0, 40);
    const sequence = cache.newSequence(rootOf());
    expect(cache.pins.numBlocksWith('a', { sequence, tokens })).toBe(10 + 2 + 1);
    expect(pin(cache, 'a', tokens)).toBe(40);
    expect(cache.pool.numUsed).toBe(10 + 2 + 1);
    cache.release(compute(cache, range(500, 80)));
    cache.release(compute(cache, range(700, 80)));
    expect(hits(cache, tokens)).toBe(40);
  });

  it('are what was computed for them, though another sequence with the same was evicted', () => {
    const window = { kind: 'sliding-window', window: 6 } as const;
    const states = { kind: 'recurrent', checkpointBlocks: 3 } as const;
    for (const groups of [[FULL_ATTENTION], [FULL_ATTENTION, window, states]]) {
      const cache = manager(12 * groups.length, groups);
      const tokens = range(0, 16);
      // They come together, so neither finds anything of the other.
      const [older, younger] = [0, 1].map(() => {
        const sequence = cache.newSequence(rootOf());
        cache.reserve(sequence, 0, tokens.length);
        cache.commit(sequence, tokens, tokens.length);
        cache.truncate(sequence, tokens.length);
        return sequence;
      });
      cache.release(older);
      flood(cache);
      expect(hits(cache, tokens)).toBe(0);
      expect(cache.pin('a', { sequence: younger, tokens }, ALL)).toBe(16);
      cache.checkIntegrity([younger]);
      cache.release(younger);
      flood(cache);
      expect(hits(cache, tokens)).toBe(16);
      cache.checkIntegrity([]);
    }
  });

  it('are forgotten by a reset, but not while a sequence uses blocks, its own or theirs', () => {
    const cache = manager(12);
    const tokens = range(0, 16);
    const computing = compute(cache, tokens);
    cache.pin('a', { sequence: computing, tokens }, ALL);
    expect(cache.resetPrefixCache()).toBe(false);
    const other = compute(cache, range(50, 8));
    cache.release(computing);
    expect(cache.resetPrefixCache()).toBe(false);
    cache.release(other);
    expect(hits(cache, tokens)).toBe(16);
    expect(cache.resetPrefixCache()).toBe(true);
    expect([hits(cache, tokens), cache.pool.numUsed, cache.pins.users().size]).toEqual([0, 0, 0]);
    cache.checkIntegrity([]);
  });
});
