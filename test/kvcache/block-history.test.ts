import { describe, expect, it } from 'vitest';
import { BlockHistory } from '../../kvcache/block-history.js';
import { BlockPool } from '../../kvcache/block-pool.js';
import { LruEviction } from '../../kvcache/eviction/lru.js';
import { type BlockHash, type BlockId, NO_BLOCK } from '../../kvcache/ids.js';

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

  it('tells when and how often a block was used, also while it is free', () => {
    let time = 5;
    const history = new BlockHistory({
      numBlocks: 2,
      now: () => time,
      sampleRate: 0,
      random: () => 0,
    });
    const block = 1 as BlockId;
    history.allocated(block, { group: 0, position: 3, parent: 0 as BlockId }, false);
    time = 7;
    history.reused(block);
    expect([history.uses(block), history.usedAt(block)]).toEqual([2, 7]);
    time = 9;
    history.released(block);
    expect([history.uses(block), history.usedAt(block)]).toEqual([2, 9]);
    expect([history.allocatedAt(block), history.position(block)]).toEqual([5, 3]);
    history.allocated(block, { group: 0, position: 0, parent: NO_BLOCK }, true);
    expect([history.uses(block), history.parent(block)]).toEqual([1, NO_BLOCK]);
  });
});
