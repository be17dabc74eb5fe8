import { describe, expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import { type BlockId, NO_BLOCK } from '../../kvcache/ids.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { historyOf, range, rootOf } from '../support/sequences.js';

const BLOCK = 4;
const WINDOW: CacheGroup = { kind: 'sliding-window', window: 6 };
const BOTH = [FULL_ATTENTION, WINDOW];

function manager(numBlocks: number, groups: readonly CacheGroup[] = BOTH): KvCacheManager {
  const history = historyOf(numBlocks);
  return new KvCacheManager({
    numBlocks,
    blockSize: BLOCK,
    enablePrefixCaching: true,
    groups,
    history,
  });
}

/** Computes a sequence step by step, as the scheduler does. */
function compute(
  cache: KvCacheManager,
  tokens: readonly number[],
  stepTokens: number,
  others: readonly SequenceBlocks[] = [],
): SequenceBlocks {
  const sequence = cache.newSequence(rootOf());
  const prefix = cache.findCachedPrefix(sequence, tokens);
  let computed = prefix?.numTokens ?? 0;
  for (let hits = prefix; computed < tokens.length; hits = null) {
    const end = Math.min(tokens.length, computed + stepTokens);
    expect(cache.reserve(sequence, computed, end, hits)).toEqual([]);
    cache.commit(sequence, tokens, end);
    computed = end;
    cache.truncate(sequence, computed);
    cache.checkIntegrity([sequence, ...others]);
  }
  return sequence;
}

const held = (table: readonly BlockId[]): number[] =>
  table.flatMap((block, i) => (block === NO_BLOCK ? [] : [i]));

describe('a sliding window', () => {
  it('gives back the blocks that no later token sees, and the full group keeps its own', () => {
    const cache = manager(40);
    const sequence = compute(cache, range(0, 22), 4);
    // The token at 22 sees 17 to 22: block 4 (16 to 19) and what follows.
    expect(held(sequence.tables[1])).toEqual([4, 5]);
    expect(held(sequence.tables[0])).toEqual([0, 1, 2, 3, 4, 5]);
    expect(cache.pool.numUsed).toBe(8);
    cache.release(sequence);
    expect(cache.pool.numUsed).toBe(0);
  });

  it('holds no more than maxHeldBlocks says, at any length and step', () => {
    for (let stepTokens = 1; stepTokens <= 9; stepTokens++) {
      for (let length = 1; length <= 40; length++) {
        const cache = manager(60, [WINDOW]);
        const sequence = cache.newSequence(rootOf());
        let most = 0;
        for (let computed = 0; computed < length; ) {
          const end = Math.min(length, computed + stepTokens);
          cache.reserve(sequence, computed, end);
          most = Math.max(most, cache.pool.numUsed);
          cache.truncate(sequence, end);
          computed = end;
        }
        expect(most).toBeLessThanOrEqual(cache.maxHeldBlocks(length, stepTokens));
      }
    }
    // 8 blocks hold all of it; the window needs 5 and a step of 1 one more, wherever they begin.
    expect(manager(9, [WINDOW]).maxHeldBlocks(32, 1)).toBe(3);
    expect(manager(9).maxHeldBlocks(32, 1)).toBe(8 + 3);
  });

  it('hits a prefix of which only the window is cached, beside a full group that has all', () => {
    const cache = manager(12);
    const tokens = range(0, 21);
    cache.release(compute(cache, tokens, 21));
    const [full, window] =
      cache.findCachedPrefix(cache.newSequence(rootOf()), tokens)?.tables ?? [];
    expect(full).toHaveLength(5);
    // The token at 20 sees 15 to 20.
    expect(window.slice(0, 3)).toEqual([NO_BLOCK, NO_BLOCK, NO_BLOCK]);
    expect(held(window)).toEqual([3, 4]);
  });

  it('shortens the prefix to where its window is cached, too', () => {
    const cache = manager(20);
    const tokens = range(0, 21);
    cache.release(compute(cache, tokens, 21));
    // Reused first: what is free longest. Of the window group the last block is lost, of the full
    // one none.
    const [, window] = cache.findCachedPrefix(cache.newSequence(rootOf()), tokens)?.tables ?? [];
    const last = window[4];
    const others: SequenceBlocks[] = [];
    while (cache.pool.hashOf(last) !== null) {
      const other = cache.newSequence(rootOf('other'));
      cache.reserve(other, 0, 1);
      others.push(other);
    }
    const prefix = cache.findCachedPrefix(cache.newSequence(rootOf()), tokens);
    expect(prefix?.numTokens ?? 0).toBeLessThan(20);
    cache.checkIntegrity(others);
  });

  it('takes only what it needs of a prefix, and shares it', () => {
    const cache = manager(30);
    const tokens = range(0, 21);
    const first = compute(cache, tokens, 8);
    const used = cache.pool.numUsed;
    const second = compute(cache, tokens, 8, [first]);
    expect(second.tables[0].slice(0, 5)).toEqual(first.tables[0].slice(0, 5));
    // A block of its own for the last token in each group, and no more.
    expect(cache.pool.numUsed).toBeLessThanOrEqual(used + 4);
    cache.release(second);
    cache.release(first);
    expect(cache.pool.numUsed).toBe(0);
  });
});

describe('groups', () => {
  it('do not find each other’s blocks', () => {
    const cache = manager(20, [FULL_ATTENTION, FULL_ATTENTION]);
    const tokens = range(0, 9);
    const sequence = compute(cache, tokens, 9);
    const [a, b] = cache.findCachedPrefix(cache.newSequence(rootOf()), tokens)?.tables ?? [];
    expect(a).toEqual(sequence.tables[0].slice(0, 2));
    expect(b).toEqual(sequence.tables[1].slice(0, 2));
    expect(new Set([...a, ...b]).size).toBe(4);
  });
});

describe('proposals', () => {
  it('get slots, are not hashed, and give their slots back when they are rejected', () => {
    const cache = manager(20, [FULL_ATTENTION]);
    const known = range(0, 7);
    const sequence = cache.newSequence(rootOf());
    // Seven known tokens and five proposals: three blocks, of which one is full of known tokens.
    expect(cache.reserve(sequence, 0, 12)).toEqual([]);
    cache.commit(sequence, known, known.length);
    expect(sequence.tables[0]).toHaveLength(3);
    expect(cache.pool.numCached).toBe(1);
    // One was accepted.
    cache.truncate(sequence, 8);
    expect(sequence.tables[0]).toHaveLength(2);
    expect(() => cache.truncate(sequence, 3)).toThrow('1 blocks are committed, 3 tokens remain');
    cache.checkIntegrity([sequence]);
  });

  it('of a fork replace all shared slots that are written, and copy only the one with earlier tokens', () => {
    const cache = manager(20, [FULL_ATTENTION]);
    const parent = cache.newSequence(rootOf());
    cache.reserve(parent, 0, 10);
    const child = cache.fork(parent);
    const [, second, third] = parent.tables[0];
    const copies = cache.reserve(child, 6, 12);
    expect(copies).toEqual([{ from: second, to: child.tables[0][1] }]);
    expect(child.tables[0][2]).not.toBe(third);
    expect(child.tables[0][0]).toBe(parent.tables[0][0]);
    cache.checkIntegrity([parent, child]);
  });
});

describe('contents behind placeholder tokens', () => {
  it('keep prefixes apart from the block on in which they begin', () => {
    const cache = manager(20, [FULL_ATTENTION]);
    const tokens = [...range(0, 6), 99, 99, 99, ...range(6, 4)];
    const withImage = (key: string): SequenceBlocks =>
      cache.newSequence(rootOf(), [{ start: 6, end: 9, key }]);
    const first = withImage('cat');
    cache.reserve(first, 0, tokens.length);
    cache.commit(first, tokens, tokens.length);
    expect(cache.findCachedPrefix(withImage('cat'), tokens)?.numTokens).toBe(12);
    expect(cache.findCachedPrefix(withImage('dog'), tokens)?.numTokens).toBe(4);
    expect(cache.findCachedPrefix(cache.newSequence(rootOf()), tokens)?.numTokens).toBe(4);
  });
});
