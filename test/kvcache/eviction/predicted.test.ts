import { describe, expect, it } from 'vitest';
import { LearnedReuse } from '../../../kvcache/eviction/learned-reuse.js';
import { PredictedEviction, type ReusePredictor } from '../../../kvcache/eviction/predicted.js';
import { KvCacheManager } from '../../../kvcache/kv-cache-manager.js';
import { describeEvictionPolicy } from '../../conformance/eviction-policy.js';
import { historyOf, rootOf } from '../../support/sequences.js';

const BLOCK = 4;

describeEvictionPolicy(
  'PredictedEviction, learned bits',
  (n, history) => new PredictedEviction(n, history, new LearnedReuse(n)),
);
describeEvictionPolicy('PredictedEviction, bits of all kinds', (n, history) => {
  let predictions = 0;
  const mixed: ReusePredictor = {
    predict: ({ numCommitted }) =>
      // The bits of a sequence are as of one cut: a prefix returns, the rest does not.
      Uint8Array.from({ length: numCommitted }, (_, index) => Number(index < predictions++ % 3)),
  };
  return new PredictedEviction(n, history, mixed);
});

/**
 * A cache of `numBlocks`, and a call that runs a sequence of some blocks alone: how many of them
 * were hits.
 */
function cacheOf(numBlocks: number, predictor: ReusePredictor) {
  const history = historyOf(numBlocks);
  const eviction = new PredictedEviction(numBlocks, history, predictor);
  const cache = new KvCacheManager({
    numBlocks,
    blockSize: BLOCK,
    enablePrefixCaching: true,
    history,
    eviction,
  });
  const run = (family: number, blocks: number): number => {
    // One token more, so that all blocks can be hits.
    const tokens = Array.from({ length: blocks * BLOCK + 1 }, (_, i) => family * 1000 + i);
    const sequence = cache.newSequence(rootOf());
    const prefix = cache.findCachedPrefix(sequence, tokens);
    const done = prefix?.numTokens ?? 0;
    if (!cache.reserve(sequence, done, tokens.length, prefix)) throw new Error('no room');
    cache.commit(sequence, tokens, tokens.length);
    cache.release(sequence);
    cache.checkIntegrity([]);
    return done / BLOCK;
  };
  return { run };
}

const saying = (bit: () => number): ReusePredictor => ({
  predict: ({ numCommitted }) => new Uint8Array(numCommitted).fill(bit()),
});

describe('PredictedEviction', () => {
  it('gives up what is safe to discard first, its newest before its oldest, tails before heads', () => {
    const { run } = cacheOf(
      7,
      saying(() => 0),
    );
    run(1, 3);
    run(2, 3);
    // Four blocks: one was never used, the newest sequence loses the others; the oldest is whole.
    run(3, 3);
    expect(run(1, 3)).toBe(3);
  });

  it('keeps what will come back through a flood of what will not', () => {
    let bit = 1;
    const { run } = cacheOf(
      8,
      saying(() => bit),
    );
    run(1, 3);
    bit = 0;
    for (let family = 2; family < 12; family++) run(family, 3);
    expect(run(1, 3)).toBe(3);
  });

  it.each([
    ['all wrong', (bit: number) => 1 - bit],
    ['none', () => 0],
  ])('is LRU after a while when the bits are %s', (_, told) => {
    // Families 0 to 2 come again and again, between others that come once.
    const runs = Array.from({ length: 400 }, (__, i) => (i % 2 === 0 ? (i / 2) % 3 : 10 + i));
    const isBack = (family: number): number => Number(family < 10);
    let bit = 1;
    const { run } = cacheOf(
      20,
      saying(() => bit),
    );
    const lru = cacheOf(
      20,
      saying(() => 1),
    );
    const hits = runs.map((family) => {
      bit = told(isBack(family));
      return [run(family, 3), lru.run(family, 3)] as const;
    });
    const sum = (from: number, of: 0 | 1): number =>
      hits.slice(from).reduce((total, pair) => total + pair[of], 0);
    expect(sum(200, 1)).toBeGreaterThan(100);
    // The bound: a period of 20 uses while it finds out, then as many hits as LRU.
    expect(sum(200, 0)).toBe(sum(200, 1));
    expect(sum(0, 0)).toBeGreaterThanOrEqual(sum(0, 1) - 2 * 20);
  });

  it('does not believe a bit for a while that was wrong', () => {
    const { run } = cacheOf(
      8,
      saying(() => 0),
    );
    run(1, 3);
    run(2, 3);
    run(3, 3);
    // Given up by its bit, and asked for at once.
    expect(run(2, 3)).toBeLessThan(3);
    run(4, 3);
    expect(run(2, 3)).toBe(3);
  });
});
