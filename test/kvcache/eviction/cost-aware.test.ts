import { describe, expect, it } from 'vitest';
import { CostAwareEviction } from '../../../kvcache/eviction/cost-aware.js';
import { type BlockHash, type BlockId, NO_BLOCK } from '../../../kvcache/ids.js';
import { describeEvictionPolicy } from '../../conformance/eviction-policy.js';
import { contentHash, historyOf } from '../../support/sequences.js';

const costOf = (position: number): number => 1 + position;

describeEvictionPolicy(
  'CostAwareEviction',
  (numBlocks, history) => new CostAwareEviction(numBlocks, history, costOf),
);

/**
 * A policy of which each block holds one content, and a call that uses contents one after the
 * other.
 */
function cacheOf(numBlocks: number) {
  const history = historyOf(numBlocks);
  const policy = new CostAwareEviction(numBlocks, history, costOf);
  const found = new Map<BlockHash, BlockId>();
  for (let block = 0; block < numBlocks; block++) policy.add(block as BlockId, false);
  const use = (name: string, position = 0): boolean => {
    const content = contentHash(name);
    let block = found.get(content);
    const isHit = block !== undefined;
    if (block !== undefined) policy.remove(block);
    else {
      block = policy.takeNext();
      found.delete(history.content(block) as BlockHash);
      history.allocated(block, { group: 0, position, parent: NO_BLOCK }, false);
      history.cached(block, content);
      found.set(content, block);
    }
    policy.add(block, true);
    policy.checkIntegrity();
    return isHit;
  };
  return { policy, use };
}

describe('CostAwareEviction', () => {
  it('keeps content that was used again through a flood of content that was not', () => {
    const { use } = cacheOf(4);
    use('a');
    use('a');
    for (let i = 0; i < 6; i++) use(`once ${i}`);
    expect(use('a')).toBe(true);
  });

  it('gives up what is cheap to compute before what is dear', () => {
    const { use } = cacheOf(4);
    for (const position of [0, 5]) for (let i = 0; i < 2; i++) use(`at ${position}`, position);
    for (let i = 0; i < 9; i++) use(`once ${i}`);
    expect([use('at 5', 5), use('at 0')]).toEqual([true, false]);
  });

  it('takes a large weight where content returns after long floods, and none where the newest returns', () => {
    const { policy, use } = cacheOf(8);
    const popular = ['a', 'b', 'c'];
    for (let round = 0; round < 40; round++) {
      for (const name of popular) use(name);
      for (let i = 0; i < 60; i++) use(`once ${round} ${i}`);
    }
    expect(policy.weight).toBeGreaterThanOrEqual(4);
    // Each content is used often for a while, and never again.
    for (let i = 0; i < 400; i++) {
      for (let back = 0; back < 6; back++) for (let j = 0; j < 2; j++) use(`then ${i - back}`);
    }
    expect(policy.weight).toBeLessThan(4);
  });
});
