import { describe, expect, it } from 'vitest';
import { FairSharePolicy, QUANTUM } from '../../../scheduler/policies/fair-share.js';
import type { Sequence } from '../../../scheduler/sequence.js';
import { describeSchedulingPolicy } from '../../conformance/scheduling-policy.js';
import { sequenceOf } from '../../support/sequences.js';

// Three tenants with requests of at most 128 tokens: before a tenant's turn comes, each of the
// others gets at most as many tokens as it owes, and a request more; each request has a token.
describeSchedulingPolicy('fair', () => new FairSharePolicy(), {
  mostOvertaking: 2 * (128 + QUANTUM),
});

/** Serves sequences one at a time, each to its end, and says whose they were. */
function serve(policy: FairSharePolicy, count: number): string[] {
  return Array.from({ length: count }, () => {
    const next = policy.next() as Sequence;
    policy.remove(next);
    policy.started(next);
    policy.computing(next, 0, next.tokens.length + next.spec.maxTokens);
    policy.stopped(next);
    return next.spec.tenant as string;
  });
}

/** Tokens that each tenant got of those that were served. */
function tokensOf(names: readonly string[], sizes: Readonly<Record<string, number>>) {
  const sums: Record<string, number> = {};
  for (const name of names) sums[name] = (sums[name] ?? 0) + sizes[name];
  return sums;
}

describe('fair shares', () => {
  it('count tokens, not requests: tenants get the same whatever the size of theirs', () => {
    const policy = new FairSharePolicy();
    const sizes = { small: 10, medium: 70, large: 500 };
    let order = 0;
    for (const [tenant, size] of Object.entries(sizes)) {
      for (let i = 0; i < 600; i++) {
        policy.add(sequenceOf(order++, size - 5, { tenant, maxTokens: 5 }));
      }
    }
    const sums = tokensOf(serve(policy, 600), sizes);
    const [least, most] = [Math.min(...Object.values(sums)), Math.max(...Object.values(sums))];
    expect(most - least).toBeLessThanOrEqual(QUANTUM + 500);
  });

  it('let a tenant that comes wait for a round of the others, however much they have waiting', () => {
    const policy = new FairSharePolicy();
    for (let i = 0; i < 100; i++) policy.add(sequenceOf(i, 60, { tenant: 'heavy', maxTokens: 4 }));
    serve(policy, 20);
    policy.add(sequenceOf(1000, 60, { tenant: 'light', maxTokens: 4 }));
    expect(serve(policy, 2)).toContain('light');
  });

  it('save nothing up: a tenant that was away gets no more than its share', () => {
    const policy = new FairSharePolicy();
    for (let i = 0; i < 200; i++) policy.add(sequenceOf(i, 60, { tenant: 'busy', maxTokens: 4 }));
    serve(policy, 100);
    for (let i = 200; i < 300; i++) policy.add(sequenceOf(i, 60, { tenant: 'back', maxTokens: 4 }));
    const names = serve(policy, 20);
    expect(names.filter((name) => name === 'busy').length).toBeGreaterThanOrEqual(9);
  });

  it('remember debts: what was taken alone is not asked for again, what was taken from others is', () => {
    const policy = new FairSharePolicy();
    policy.add(sequenceOf(0, 640, { tenant: 'greedy', maxTokens: 0 }));
    policy.add(sequenceOf(1, 60, { tenant: 'modest', maxTokens: 4 }));
    expect(serve(policy, 1)).toEqual(['greedy']);
    for (let i = 2; i < 20; i++) policy.add(sequenceOf(i, 60, { tenant: 'modest', maxTokens: 4 }));
    policy.add(sequenceOf(20, 640, { tenant: 'greedy', maxTokens: 0 }));
    // Ten rounds were used up at once.
    expect(serve(policy, 10).slice(0, 9)).not.toContain('greedy');
    expect(serve(policy, 2)).toContain('greedy');
  });

  it('serve the first running sequence of each tenant before the second of any', () => {
    const policy = new FairSharePolicy();
    const start = (order: number, tenant: string): Sequence => {
      const sequence = sequenceOf(order, 4, { tenant });
      policy.add(sequence);
      policy.remove(sequence);
      policy.started(sequence);
      return sequence;
    };
    const heavy = [0, 1, 2].map((order) => start(order, 'heavy'));
    expect([...heavy, start(3, 'light')].map(({ rank }) => rank)).toEqual([0, 1, 2, 0]);
    policy.stopped(heavy[0]);
    expect(start(4, 'heavy').rank).toBe(2);
  });

  it('count nothing twice that is computed again after a preemption', () => {
    const policy = new FairSharePolicy();
    const preempted = sequenceOf(0, 640, { tenant: 'preempted' });
    policy.add(preempted);
    policy.add(sequenceOf(1, 640, { tenant: 'other' }));
    for (let times = 0; times < 5; times++) policy.computing(preempted, 0, 640);
    // Both owe ten rounds.
    expect(serve(policy, 1)).toEqual(['other']);
    policy.add(sequenceOf(2, 640, { tenant: 'other' }));
    expect(serve(policy, 1)).toEqual(['preempted']);
  });

  it('forget tenants without requests and debts', () => {
    const policy = new FairSharePolicy();
    for (let i = 0; i < 5000; i++) {
      policy.add(sequenceOf(i, 4, { tenant: `${i}`, maxTokens: 0 }));
      serve(policy, 1);
    }
    expect(policy.numTenants).toBeLessThanOrEqual(1024);
  });

  it('remember a tenant that runs, however many others come and go', () => {
    const policy = new FairSharePolicy();
    const running = sequenceOf(0, 4, { tenant: 'runs' });
    policy.started(running);
    for (let i = 1; i < 5000; i++) {
      policy.add(sequenceOf(i, 4, { tenant: `${i}`, maxTokens: 0 }));
      serve(policy, 1);
    }
    const second = sequenceOf(5000, 4, { tenant: 'runs' });
    policy.started(second);
    expect([running.rank, second.rank]).toEqual([0, 1]);
  });
});
