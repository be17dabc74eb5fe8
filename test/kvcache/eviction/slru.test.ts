import { describe, expect, it } from 'vitest';
import { SegmentedLruEviction } from '../../../kvcache/eviction/slru.js';
import { type BlockId, NO_BLOCK } from '../../../kvcache/ids.js';
import { describeEvictionPolicy } from '../../conformance/eviction-policy.js';
import { historyOf } from '../../support/sequences.js';

describeEvictionPolicy(
  'SegmentedLruEviction',
  (n, history) => new SegmentedLruEviction(n, history),
);

describe('SegmentedLruEviction', () => {
  it('gives up what was used once before all that was used again, up to four fifths of the pool', () => {
    const history = historyOf(5);
    const policy = new SegmentedLruEviction(5, history);
    for (const block of [0, 1, 2, 3, 4] as BlockId[]) {
      history.allocated(block, { group: 0, position: 0, parent: NO_BLOCK }, false);
    }
    for (const block of [0, 1] as BlockId[]) {
      history.reused(block);
      policy.add(block, true);
    }
    for (const block of [2, 3, 4] as BlockId[]) policy.add(block, true);
    expect([...policy]).toEqual([2, 3, 4, 0, 1]);
    for (const block of [2, 3, 4] as BlockId[]) {
      policy.remove(block);
      history.reused(block);
      policy.add(block, true);
    }
    // Four are protected: the one that was used longest ago is on probation.
    expect([...policy]).toEqual([0, 1, 2, 3, 4]);
    history.allocated(0 as BlockId, { group: 0, position: 0, parent: NO_BLOCK }, true);
    expect(policy.takeNext()).toBe(0);
    policy.add(0 as BlockId, true);
    expect([...policy]).toEqual([0, 1, 2, 3, 4]);
  });
});
