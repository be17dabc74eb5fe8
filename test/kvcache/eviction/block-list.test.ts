import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockList } from '../../../kvcache/eviction/block-list.js';
import type { BlockId } from '../../../kvcache/ids.js';

const CAPACITY = 8;
const operation = fc.record({
  kind: fc.constantFrom('pushHead', 'pushTail', 'popHead', 'remove'),
  block: fc.nat({ max: CAPACITY - 1 }),
});

describe('BlockList (invariant 5)', () => {
  it('behaves like an array under any history', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const queue = new BlockList(CAPACITY);
        const model: number[] = [];
        for (const { kind, block } of operations) {
          const id = block as BlockId;
          const present = model.includes(block);
          if (kind === 'popHead') {
            if (model.length === 0) expect(() => queue.popHead()).toThrow('empty');
            else expect(queue.popHead()).toBe(model.shift());
          } else if (kind === 'remove') {
            if (present) {
              queue.remove(id);
              model.splice(model.indexOf(block), 1);
            } else expect(() => queue.remove(id)).toThrow('not in the list');
          } else if (present) {
            expect(() => queue[kind](id)).toThrow('already');
          } else {
            queue[kind](id);
            if (kind === 'pushHead') model.unshift(block);
            else model.push(block);
          }
          queue.checkIntegrity();
          expect([...queue]).toEqual(model);
          expect(queue.size).toBe(model.length);
        }
      }),
    );
  });
});
