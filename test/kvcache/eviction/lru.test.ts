import { describe, expect, it } from 'vitest';
import { LruEviction } from '../../../kvcache/eviction/lru.js';
import type { BlockId } from '../../../kvcache/ids.js';
import { describeEvictionPolicy } from '../../conformance/eviction-policy.js';

describeEvictionPolicy('LruEviction', (numBlocks) => new LruEviction(numBlocks));

describe('LruEviction', () => {
  it('gives up cached content in the order in which it became free; a hit makes it the last', () => {
    const policy = new LruEviction(4);
    for (const block of [2, 0, 3] as BlockId[]) policy.add(block, true);
    policy.remove(2 as BlockId);
    policy.add(2 as BlockId, true);
    policy.add(1 as BlockId, false);
    expect([...policy]).toEqual([1, 0, 3, 2]);
  });
});
