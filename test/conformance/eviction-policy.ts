import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EvictionPolicy } from '../../kvcache/eviction/eviction-policy.js';
import type { BlockId } from '../../kvcache/ids.js';

const BLOCKS = 8;
const operation = fc.record({
  kind: fc.constantFrom('add', 'remove', 'takeNext'),
  block: fc.nat({ max: BLOCKS - 1 }),
  isCached: fc.boolean(),
});

/**
 * What every eviction policy promises, whatever order it chooses. To be called by the tests of each.
 *
 * @param create an empty policy for that many blocks
 */
export function describeEvictionPolicy(
  name: string,
  create: (numBlocks: number) => EvictionPolicy,
): void {
  describe(`${name}, as any eviction policy`, () => {
    it('holds exactly the blocks that are free, each once, under any history', () => {
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
          const policy = create(BLOCKS);
          const free = new Set<number>();
          for (const { kind, block, isCached } of operations) {
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
              else policy.add(id, isCached);
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
          const policy = create(BLOCKS);
          for (const [block, isCached] of cached.entries()) policy.add(block as BlockId, isCached);
          const taken = cached.map(() => cached[policy.takeNext()]);
          expect(taken).toEqual([...taken].sort((a, b) => Number(a) - Number(b)));
        }),
      );
    });
  });
}
