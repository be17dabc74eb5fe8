import { describe, expect, it } from 'vitest';
import { BlockPool } from '../../kvcache/block-pool.js';
import { BlockResidency } from '../../kvcache/block-residency.js';
import type { BlockHash } from '../../kvcache/ids.js';

function poolWithClock(numBlocks: number, sampleRate = 1, random = () => 0) {
  const clock = { now: 0 };
  const residency = new BlockResidency({ numBlocks, sampleRate, random, now: () => clock.now });
  return { clock, residency, pool: new BlockPool(numBlocks, residency) };
}

describe('how long blocks live', () => {
  it('measures life, idleness and the gaps between uses of cached content', () => {
    const { clock, residency, pool } = poolWithClock(1);
    const block = pool.allocate();
    pool.cache(block, 'h' as BlockHash);
    clock.now = 100;
    pool.release(block);
    clock.now = 150;
    pool.touch(block);
    clock.now = 170;
    pool.release(block);
    clock.now = 400;
    pool.allocate();
    expect(residency.take()).toEqual({
      lifetimes: [400],
      idleBeforeEvict: [230],
      reuseGaps: [50],
    });
    expect(residency.take()).toBeNull();
  });

  it('counts neither content that was never cached nor a reset as evictions', () => {
    const { clock, residency, pool } = poolWithClock(1);
    pool.release(pool.allocate());
    clock.now = 10;
    const block = pool.allocate();
    pool.cache(block, 'h' as BlockHash);
    pool.release(block);
    pool.resetCache();
    pool.allocate();
    expect(residency.take()).toBeNull();
  });

  it('follows the share of blocks that was asked for, and keeps a bounded number of samples', () => {
    let draws = 0;
    const { residency, pool } = poolWithClock(1, 0.25, () => (draws++ % 4) / 4);
    for (let i = 0; i < 4000; i++) {
      const block = pool.allocate();
      pool.cache(block, `h${i}` as BlockHash);
      pool.release(block);
      if (i === 399) expect(residency.take()?.lifetimes).toHaveLength(100);
    }
    expect(residency.take()?.lifetimes).toHaveLength(256);
  });
});
