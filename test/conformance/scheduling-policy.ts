import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SchedulingPolicy } from '../../scheduler/policies/scheduling-policy.js';
import type { Sequence } from '../../scheduler/sequence.js';
import { sequenceOf } from '../support/sequences.js';

/** A request that arrives, and what a policy may judge it by. */
const request = fc.record({
  priority: fc.nat({ max: 3 }),
  tenant: fc.constantFrom('a', 'b', 'c'),
  prompt: fc.integer({ min: 1, max: 64 }),
  maxTokens: fc.integer({ min: 0, max: 64 }),
});

const operation = fc.oneof(
  fc.record({ kind: fc.constant('arrive' as const), request }),
  fc.record({ kind: fc.constantFrom('serve', 'preempt', 'end', 'abort'), pick: fc.nat() }),
);

export interface PolicyPromise {
  /**
   * Sequences that may be served before one that has arrived, beyond those that were there before
   * it, while one arrives each second and one is served every second; whatever they are.
   */
  readonly mostOvertaking: number;
}

/**
 * What every scheduling policy promises, whatever order it chooses. To be called by the tests of
 * each.
 *
 * @param create a policy for which nothing waits
 */
export function describeSchedulingPolicy(
  name: string,
  create: () => SchedulingPolicy,
  { mostOvertaking }: PolicyPromise,
): void {
  describe(`${name}, as any scheduling policy`, () => {
    it('holds exactly the sequences that wait, under any history, and serves one of them', () => {
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
          const policy = create();
          const waiting = new Set<Sequence>();
          const running = new Set<Sequence>();
          const of = (set: Set<Sequence>, pick: number) => [...set][pick % set.size];
          const start = (sequence: Sequence): void => {
            expect(policy.remove(sequence)).toBe(true);
            policy.started?.(sequence);
            expect(sequence.rank).not.toBeNaN();
            policy.computing?.(sequence, 0, sequence.tokens.length);
            waiting.delete(sequence);
            running.add(sequence);
          };
          for (const [order, event] of operations.entries()) {
            if (event.kind === 'arrive') {
              const { prompt, ...spec } = event.request;
              const sequence = sequenceOf(order, prompt, { ...spec, arrivalTime: order });
              policy.add(sequence);
              waiting.add(sequence);
            } else if (event.kind === 'serve') {
              const next = policy.next();
              if (next) start(next);
              else expect(waiting.size).toBe(0);
            } else if (event.kind === 'abort' && waiting.size > 0) {
              const gone = of(waiting, event.pick);
              expect([policy.remove(gone), policy.remove(gone)]).toEqual([true, false]);
              waiting.delete(gone);
            } else if (running.size > 0) {
              const stopped = of(running, event.pick);
              running.delete(stopped);
              policy.stopped?.(stopped);
              if (event.kind === 'preempt') {
                policy.add(stopped);
                waiting.add(stopped);
              }
            }
            policy.checkIntegrity?.();
            expect(policy.size).toBe(waiting.size);
            expect(new Set(policy)).toEqual(waiting);
            const next = policy.next();
            // Asking changes nothing.
            expect(policy.next()).toBe(next);
            if (next) expect(waiting.has(next)).toBe(true);
            else expect(waiting.size).toBe(0);
          }
        }),
      );
    });

    it('decides by what it was told alone: the same calls, the same order', () => {
      fc.assert(
        fc.property(fc.array(request, { maxLength: 30 }), (requests) => {
          const serve = (): (number | undefined)[] => {
            const policy = create();
            for (const [order, { prompt, ...spec }] of requests.entries()) {
              policy.add(sequenceOf(order, prompt, { ...spec, arrivalTime: 1000 * order }));
            }
            return requests.map(() => {
              const next = policy.next() as Sequence;
              policy.remove(next);
              policy.started?.(next);
              policy.computing?.(next, 0, next.tokens.length);
              return next.order;
            });
          };
          expect(serve()).toEqual(serve());
        }),
      );
    });

    it('lets no sequence starve, whatever arrives after it', () => {
      fc.assert(
        fc.property(
          request,
          fc.array(request, { maxLength: 5 }),
          fc.array(request, { minLength: 1, maxLength: 5 }),
          (own, before, after) => {
            const policy = create();
            let order = 0;
            const arrive = ({ prompt, ...spec }: typeof own): Sequence => {
              const sequence = sequenceOf(order, prompt, { ...spec, arrivalTime: 1000 * order });
              policy.add(sequence);
              order += 1;
              return sequence;
            };
            for (const earlier of before) arrive(earlier);
            const victim = arrive(own);
            for (let served = 0; ; served++) {
              expect(served).toBeLessThanOrEqual(before.length + mostOvertaking);
              const next = policy.next() as Sequence;
              if (next === victim) break;
              policy.remove(next);
              policy.started?.(next);
              // What it generates, too.
              policy.computing?.(next, 0, next.tokens.length + next.spec.maxTokens);
              policy.stopped?.(next);
              arrive(after[served % after.length]);
            }
          },
        ),
        { numRuns: 200 },
      );
    });
  });
}
