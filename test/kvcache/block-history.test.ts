import { describe, expect, it } from 'vitest';
import { BlockHistory } from '../../kvcache/block-history.js';
import { BlockPool } from '../../kvcache/block-pool.js';
import { LruEviction } from '../../kvcache/eviction/lru.js';
import { type BlockHash, NO_BLOCK } from '../../kvcache/ids.js';

const FIRST = { group: 0, position: 0, parent: NO_BLOCK };

function poolWithClock(numBlocks: number, sampleRate = 1, random = () => 0) {
  const clock = { now: 0 };
  const history = new BlockHistory({ numBlocks, sampleRate, random, now: () => clock.now });
  const eviction = new LruEviction(numBlocks);
  return { clock, history, pool: new BlockPool({ numBlocks, numGroups: 1, eviction, history }) };
}

describe('how long blocks live', () => {
  it('measures life, idleness and the gaps between uses of cached content', () => {
    const { clock, history, pool } = poolWithClock(1);
    const block = pool.allocate(FIRST);
    pool.cache(block, 'h' as BlockHash);
    clock.now = 100;
    pool.release(block);
    clock.now = 150;
    pool.touch(block);
    clock.now = 170;
    pool.release(block);
    clock.now = 400;
    pool.allocate(FIRST);
    expect(history.takeSamples()).toEqual({
      lifetimes: [400],
      idleBeforeEvict: [230],
      reuseGaps: [50],
    });
    expect(history.takeSamples()).toBeNull();
  });

  it('counts neither content that was never cached nor a reset as evictions', () => {
    const { clock, history, pool } = poolWithClock(1);
    pool.release(pool.allocate(FIRST));
    clock.now = 10;
    const block = pool.allocate(FIRST);
    pool.cache(block, 'h' as BlockHash);
    pool.release(block);
    pool.resetCache();
    pool.allocate(FIRST);
    expect(history.takeSamples()).toBeNull();
  });

  it('follows the share of blocks that was asked for, and keeps a bounded number of samples', () => {
    let draws = 0;
    const { history, pool } = poolWithClock(1, 0.25, () => (draws++ % 4) / 4);
    for (let i = 0; i < 4000; i++) {
      const block = pool.allocate(FIRST);
      pool.cache(block, `h${i}` as BlockHash);
      pool.release(block);
      if (i === 399) expect(history.takeSamples()?.lifetimes).toHaveLength(100);
    }
    expect(history.takeSamples()?.lifetimes).toHaveLength(256);
  });
});
