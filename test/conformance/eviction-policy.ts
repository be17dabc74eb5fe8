import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockHistory } from '../../kvcache/block-history.js';
import type { EvictionPolicy } from '../../kvcache/eviction/eviction-policy.js';
import { type BlockId, NO_BLOCK } from '../../kvcache/ids.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceBlocks } from '../../kvcache/sequence-blocks.js';
import { contentHash, historyOf, rootOf } from '../support/sequences.js';

const BLOCKS = 8;
const operation = fc.record({
  kind: fc.constantFrom('add', 'remove', 'takeNext'),
  block: fc.nat({ max: BLOCKS - 1 }),
  isCached: fc.boolean(),
  uses: fc.integer({ min: 1, max: 3 }),
  position: fc.nat({ max: 3 }),
});

const POOL = 12;
const BLOCK_SIZE = 4;
/**
 * What a sequence begins with: all of a family are beginnings of one text, so they share prefixes.
 */
const request = fc.record({
  family: fc.nat({ max: 4 }),
  length: fc.integer({ min: 1, max: 20 }),
  /** The oldest sequences that end before it begins. */
  ends: fc.nat({ max: 2 }),
});

/**
 * What every eviction policy promises, whatever order it chooses. To be called by the tests of
 * each.
 *
 * @param create an empty policy for that many blocks, which the history follows
 */
export function describeEvictionPolicy(
  name: string,
  create: (numBlocks: number, history: BlockHistory) => EvictionPolicy,
): void {
  describe(`${name}, as any eviction policy`, () => {
    it('holds exactly the blocks that are free, each once, under any history', () => {
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
          const history = historyOf(BLOCKS);
          const policy = create(BLOCKS, history);
          const free = new Set<number>();
          for (const { kind, block, isCached, uses, position } of operations) {
            const id = block as BlockId;
            if (kind === 'takeNext') {
              const order = [...policy];
              if (free.size === 0) expect(() => policy.takeNext()).toThrow(Error);
              else {
                const taken = policy.takeNext();
                // What the order says of the next one is true.
                expect(taken).toBe(order[0]);
                expect(free.delete(taken)).toBe(true);
              }
            } else if (kind === 'add') {
              if (free.has(block)) expect(() => policy.add(id, isCached)).toThrow(Error);
              else {
                history.allocated(id, { group: 0, position, parent: NO_BLOCK }, false);
                for (let use = 1; use < uses; use++) history.reused(id);
                if (isCached) history.cached(id, contentHash(`${block}`));
                policy.add(id, isCached);
              }
              free.add(block);
            } else if (free.delete(block)) policy.remove(id);
            else expect(() => policy.remove(id)).toThrow(Error);
            policy.checkIntegrity();
            expect(new Set(policy)).toEqual(free);
            expect(policy.size).toBe(free.size);
            for (let b = 0; b < BLOCKS; b++) expect(policy.has(b as BlockId)).toBe(free.has(b));
          }
        }),
      );
    });

    it('gives up every block without content before the first one with content', () => {
      fc.assert(
        fc.property(fc.array(fc.boolean(), { maxLength: BLOCKS }), (cached) => {
          const history = historyOf(BLOCKS);
          const policy = create(BLOCKS, history);
          for (const [block, isCached] of cached.entries()) {
            const id = block as BlockId;
            history.allocated(id, { group: 0, position: 0, parent: NO_BLOCK }, false);
            if (isCached) history.cached(id, contentHash(`${block}`));
            policy.add(id, isCached);
          }
          const taken = cached.map(() => cached[policy.takeNext()]);
          expect(taken).toEqual([...taken].sort((a, b) => Number(a) - Number(b)));
        }),
      );
    });

    it('gives blocks without content as a stack: what was used last is used again first', () => {
      const policy = create(BLOCKS, historyOf(BLOCKS));
      const ids = Array.from({ length: BLOCKS }, (_, i) => i as BlockId);
      for (const id of ids) policy.add(id, false);
      expect(ids.map(() => policy.takeNext())).toEqual(ids.toReversed());
    });

    it('keeps no block of a chain beyond the one before it, and none in use is taken', () => {
      fc.assert(
        fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
          const history = historyOf(POOL);
          const policy = create(POOL, history);
          const takeNext = policy.takeNext.bind(policy);
          policy.takeNext = () => {
            const taken = takeNext();
            expect(cache.pool.refCount(taken)).toBe(0);
            const orphans = [...policy].filter((block) => history.parent(block) === taken);
            // Nothing is found behind a block that is gone.
            expect(orphans.filter((block) => history.content(block) !== null)).toEqual([]);
            return taken;
          };
          const cache = new KvCacheManager({
            numBlocks: POOL,
            blockSize: BLOCK_SIZE,
            enablePrefixCaching: true,
            history,
            eviction: policy,
          });
          const live: SequenceBlocks[] = [];
          for (const { family, length, ends } of requests) {
            for (const ended of live.splice(0, ends)) cache.release(ended);
            const tokens = Array.from({ length }, (_, i) => family * 100 + i);
            const sequence = cache.newSequence(rootOf());
            const prefix = cache.findCachedPrefix(sequence, tokens);
            const done = prefix?.numTokens ?? 0;
            if (!cache.reserve(sequence, done, length, prefix)) continue;
            cache.commit(sequence, tokens, length);
            live.push(sequence);
            cache.checkIntegrity(live);
          }
          for (const sequence of live) cache.release(sequence);
          cache.checkIntegrity([]);
          expect(cache.resetPrefixCache()).toBe(true);
          expect(cache.pool.numFree).toBe(POOL);
        }),
      );
    });
  });
}
