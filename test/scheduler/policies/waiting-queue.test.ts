import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareRank, preemptionVictim, type Ranked } from '../../../scheduler/policies/rank.js';
import { WaitingQueue } from '../../../scheduler/policies/waiting-queue.js';

describe('WaitingQueue', () => {
  it('serves in the order of ranks, whatever leaves from its middle', () => {
    const steps = fc.array(fc.record({ rank: fc.nat(9), leaves: fc.option(fc.nat()) }));
    fc.assert(
      fc.property(steps, (all) => {
        const queue = new WaitingQueue<Ranked>();
        let expected: Ranked[] = [];
        for (const [order, { rank, leaves }] of all.entries()) {
          const item = { rank, order };
          queue.push(item);
          expect(() => queue.push(item)).toThrow('in the queue already');
          expected = [...expected, item].sort(compareRank);
          if (leaves === null) continue;
          const [gone] = expected.splice(leaves % expected.length, 1);
          expect([queue.remove(gone), queue.remove(gone)]).toEqual([true, false]);
          expect([queue.peek(), queue.size]).toEqual([expected[0], expected.length]);
        }
        expect([...queue].sort(compareRank)).toEqual(expected);
        for (const item of expected) {
          expect(queue.peek()).toBe(item);
          queue.remove(item);
        }
        expect(queue.peek()).toBeUndefined();
      }),
    );
  });
});

describe('preemptionVictim', () => {
  it('is the sequence that is served last, and none where nothing runs', () => {
    const running = [1, 2, 3].map((rank) => ({ rank, order: 0 }));
    expect(preemptionVictim(running)).toBe(running[2]);
    expect(() => preemptionVictim([])).toThrow('nothing runs');
  });
});
