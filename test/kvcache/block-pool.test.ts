import { describe, expect, it } from 'vitest';
import type { BlockHistory } from '../../kvcache/block-history.js';
import { BlockPool } from '../../kvcache/block-pool.js';
import type { EvictionPolicy } from '../../kvcache/eviction/eviction-policy.js';
import { LruEviction } from '../../kvcache/eviction/lru.js';
import { type BlockHash, type BlockId, NO_BLOCK } from '../../kvcache/ids.js';
import { historyOf } from '../support/sequences.js';

const PLACE = { group: 0, position: 0, parent: NO_BLOCK };
const hash = (name: string): BlockHash => name as BlockHash;

function poolOf(numBlocks: number, parts: { eviction?: EvictionPolicy; history?: BlockHistory }) {
  return new BlockPool({
    numBlocks,
    numGroups: 2,
    eviction: parts.eviction ?? new LruEviction(Math.max(1, numBlocks)),
    history: parts.history ?? historyOf(Math.max(1, numBlocks)),
  });
}

describe('BlockPool', () => {
  it.each([0, -1, 1.5])('is refused with %s blocks', (numBlocks) => {
    const eviction = new LruEviction(2);
    expect(() => poolOf(numBlocks, { eviction })).toThrow('needs at least one block');
  });

  it('throws when a block is given back twice, hashed while free, or hashed twice', () => {
    const pool = poolOf(2, {});
    const block = pool.allocate(PLACE);
    pool.cache(block, hash('a'));
    expect(() => pool.cache(block, hash('b'))).toThrow('hashed already');
    pool.release(block);
    expect(() => pool.release(block)).toThrow('released more often than it was taken');
    expect(() => pool.cache(block, hash('c'))).toThrow('is free');
    pool.checkIntegrity();
  });

  it('lists the blocks in use by their numbers', () => {
    const pool = poolOf(4, {});
    const blocks = [pool.allocate(PLACE), pool.allocate(PLACE), pool.allocate(PLACE)];
    pool.release(blocks[0]);
    expect(pool.usedBlocks()).toEqual(blocks.slice(1).sort((a, b) => a - b));
    expect(pool.freeBlocks()).toContain(blocks[0]);
    // What is in use keeps the cache from being emptied.
    expect(pool.resetCache()).toBe(false);
  });

  it('forgets what a free block holds, and reuses that block next', () => {
    const pool = poolOf(3, {});
    const blocks = ['a', 'b'].map((name) => {
      const block = pool.allocate(PLACE);
      pool.cache(block, hash(name));
      return block;
    });
    pool.allocate(PLACE);
    const [a, b] = blocks;
    expect(() => pool.forget(b)).toThrow('has no content that it could lose');
    for (const block of blocks) pool.release(block);
    const before = pool.version;
    pool.forget(b);
    expect(pool.version).toBeGreaterThan(before);
    expect([hash('a'), hash('b')].map((of) => pool.lookup(0, of))).toEqual([a, undefined]);
    expect(() => pool.forget(b)).toThrow('has no content that it could lose');
    pool.checkIntegrity();
    expect(pool.allocate(PLACE)).toBe(b);
  });

  it('finds a hash in its own group only', () => {
    const pool = poolOf(2, {});
    const block = pool.allocate({ ...PLACE, group: 1 });
    pool.cache(block, hash('a'));
    expect([pool.lookup(0, hash('a')), pool.lookup(1, hash('a'))]).toEqual([undefined, block]);
    expect([pool.numCached, pool.hashOf(block)]).toEqual([1, 'a']);
  });

  it('notices a policy that loses a free block', () => {
    const eviction = new LruEviction(2);
    const pool = poolOf(2, { eviction });
    eviction.remove(1 as BlockId);
    expect(() => pool.checkIntegrity()).toThrow('block 1 has the count 0');
  });

  it('notices a history that names another group than the one that a block was allocated for', () => {
    const history = historyOf(2);
    const pool = poolOf(2, { history });
    const block = pool.allocate(PLACE);
    pool.cache(block, hash('a'));
    history.group = () => 1;
    expect(() => pool.checkIntegrity()).toThrow(`block ${block} has a hash under which it is not`);
    // Its old hash is looked for in the wrong group when it is reused.
    pool.release(block);
    for (const _ of [0, 1]) pool.allocate(PLACE);
    expect(() => pool.checkIntegrity()).toThrow(`block ${block} is found under a stale hash`);
  });
});
