import { describe, expect, it } from 'vitest';
import { LfuEviction } from '../../../kvcache/eviction/lfu.js';
import { type BlockId, NO_BLOCK } from '../../../kvcache/ids.js';
import { describeEvictionPolicy } from '../../conformance/eviction-policy.js';
import { historyOf } from '../../support/sequences.js';

const FIRST = { group: 0, position: 0, parent: NO_BLOCK };

describeEvictionPolicy('LfuEviction', (numBlocks, history) => new LfuEviction(numBlocks, history));

describe('LfuEviction', () => {
  it('gives up what the fewest sequences have used', () => {
    const history = historyOf(3);
    const policy = new LfuEviction(3, history);
    for (const [block, uses] of [3, 1, 2].entries()) {
      history.allocated(block as BlockId, FIRST, false);
      for (let use = 1; use < uses; use++) history.reused(block as BlockId);
      policy.add(block as BlockId, true);
    }
    expect([...policy]).toEqual([1, 2, 0]);
  });

  it('forgets in the end what was popular once', () => {
    const history = historyOf(2);
    const policy = new LfuEviction(2, history);
    const popular = 0 as BlockId;
    history.allocated(popular, FIRST, false);
    for (let use = 1; use < 5; use++) history.reused(popular);
    policy.add(popular, true);
    const newer: BlockId[] = [];
    for (let taken = 1 as BlockId; taken !== popular; taken = policy.takeNext()) {
      history.allocated(taken, FIRST, true);
      policy.add(taken, true);
      newer.push(taken);
    }
    expect(newer).toEqual([1, 1, 1, 1, 1]);
  });
});
