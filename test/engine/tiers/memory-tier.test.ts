import { describe, expect, it } from 'vitest';
import { MemoryTier } from '../../../engine/tiers/memory-tier.js';
import {
  describeBlockTier,
  TEST_BLOCK_BYTES,
  TEST_CAPACITY,
  testContent,
  testKey,
} from '../../conformance/block-tier.js';

const create = (capacity = TEST_CAPACITY): MemoryTier =>
  new MemoryTier({
    capacityBytes: capacity * TEST_BLOCK_BYTES + 5,
    bytesPerBlock: TEST_BLOCK_BYTES,
  });

describeBlockTier('host memory', () => Promise.resolve(create()));

describe('host memory', () => {
  it('says how little is too little', () => {
    const tooSmall = () => new MemoryTier({ capacityBytes: 1002, bytesPerBlock: TEST_BLOCK_BYTES });
    expect(tooSmall).toThrow(
      '--kv-host-memory 1002: holds no block of the KV cache; must be at least 1003 bytes',
    );
  });

  it('keeps the places of pinned contents, and drops what finds none', () => {
    const tier = create(2);
    tier.store([testKey(1), testKey(2)], [testContent(1), testContent(2)]);
    const place = tier.read(testKey(1));
    tier.pin(testKey(1));
    tier.pin(testKey(1));
    tier.pin(testKey(2));
    expect(tier.store([testKey(3)], [testContent(3)])).toEqual([false]);
    expect(tier.stats.dropped).toBe(1);
    tier.unpin(testKey(2));
    expect(tier.store([testKey(3)], [testContent(3)])).toEqual([true]);
    expect(place).toEqual(testContent(1));
    tier.unpin(testKey(1));
    expect(tier.store([testKey(4)], [testContent(4)])).toEqual([true]);
    expect(tier.has([testKey(1), testKey(3)])).toEqual([true, false]);
    tier.clear();
    expect(tier.numPinned).toBe(1);
    tier.unpin(testKey(1));
    expect(tier.numPinned).toBe(0);
  });

  it('shows a content when it has arrived, and frees the place of one that has not', () => {
    const tier = create(2);
    tier.expect(testKey(1))?.set(testContent(1));
    expect(tier.expect(testKey(1))).toBeNull();
    expect(tier.has([testKey(1)])).toEqual([false]);
    expect(tier.isArriving(testKey(1))).toBe(true);
    expect(tier.stats.blocks).toBe(0);
    tier.arrive(testKey(1), true);
    expect(tier.peek(testKey(1))).toEqual(testContent(1));
    tier.expect(testKey(2));
    tier.arrive(testKey(2), false);
    expect(tier.has([testKey(2)])).toEqual([false]);
    expect(tier.numPinned).toBe(0);
    expect(tier.keys()).toEqual([testKey(1)]);
  });
});
