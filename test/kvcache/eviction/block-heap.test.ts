import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockHeap } from '../../../kvcache/eviction/block-heap.js';
import type { BlockId } from '../../../kvcache/ids.js';

const CAPACITY = 12;
const operation = fc.record({
  kind: fc.constantFrom('push', 'push', 'popMin', 'remove'),
  block: fc.nat({ max: CAPACITY - 1 }),
  rank: fc.integer({ min: -1, max: 2 }),
});

describe('BlockHeap', () => {
  it('behaves like a sorted array under any history; of equal ranks the first goes first', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 100 }), (operations) => {
        const heap = new BlockHeap(CAPACITY);
        /** In order of arrival: sorting is stable. */
        const model: { block: number; rank: number }[] = [];
        const sorted = (): number[] =>
          [...model].sort((a, b) => a.rank - b.rank).map(({ block }) => block);
        for (const { kind, block, rank } of operations) {
          const id = block as BlockId;
          const index = model.findIndex((entry) => entry.block === block);
          if (kind === 'popMin') {
            if (model.length === 0) expect(() => heap.popMin()).toThrow('empty');
            else {
              const [least] = sorted();
              expect(heap.popMin()).toBe(least);
              model.splice(
                model.findIndex((entry) => entry.block === least),
                1,
              );
            }
          } else if (kind === 'remove') {
            if (index < 0) expect(() => heap.remove(id)).toThrow('not in the heap');
            else {
              heap.remove(id);
              model.splice(index, 1);
            }
          } else if (index >= 0) expect(() => heap.push(id, rank)).toThrow('already');
          else {
            heap.push(id, rank);
            model.push({ block, rank });
            expect(heap.rank(id)).toBe(rank);
          }
          heap.checkIntegrity();
          expect([...heap]).toEqual(sorted());
          expect(heap.size).toBe(model.length);
        }
      }),
    );
  });
});
