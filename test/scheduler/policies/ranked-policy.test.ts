import { describe, expect, it } from 'vitest';
import {
  fcfsRank,
  PRIORITY_STEP_MS,
  priorityRank,
  RankedPolicy,
  type RankOf,
  shortestRank,
  WAIT_PER_STEP_MS,
} from '../../../scheduler/policies/ranked-policy.js';
import type { LengthPredictor } from '../../../scheduler/prediction/length-predictor.js';
import type { Sequence } from '../../../scheduler/sequence.js';
import { describeSchedulingPolicy } from '../../conformance/scheduling-policy.js';
import { sequenceOf } from '../../support/sequences.js';

/** Knows that every output becomes as long as it may. */
const longest: LengthPredictor = {
  expected: ({ spec }) => spec.maxTokens,
  quantile: ({ spec }) => spec.maxTokens,
  ended: () => undefined,
};

const POLICIES: readonly (readonly [name: string, rankOf: RankOf, mostOvertaking: number])[] = [
  ['fcfs', fcfsRank, 0],
  ['priority', priorityRank, (3 * PRIORITY_STEP_MS) / 1000],
  // A prompt of at most 64 tokens, in steps of 8, and at most 64 further tokens.
  ['shortest', shortestRank(longest, 8), ((8 + 64) * WAIT_PER_STEP_MS) / 1000],
];

for (const [name, rankOf, mostOvertaking] of POLICIES) {
  describeSchedulingPolicy(name, () => new RankedPolicy(rankOf), { mostOvertaking });
}

/** Arrival times of sequences in the order in which they are served. */
function served(policy: RankedPolicy, sequences: readonly Sequence[]): number[] {
  for (const sequence of sequences) policy.add(sequence);
  return sequences.map(() => {
    const next = policy.next() as Sequence;
    policy.remove(next);
    return next.order;
  });
}

describe('policies with a rank that is fixed at arrival', () => {
  it('fcfs serves by arrival', () => {
    const sequences = [3, 1, 2].map((time, i) => sequenceOf(i, 4, { arrivalTime: time }));
    expect(served(new RankedPolicy(fcfsRank), sequences)).toEqual([1, 2, 0]);
  });

  it('priority: a step is worth ten seconds of waiting', () => {
    const sequences = [
      sequenceOf(0, 4, { arrivalTime: 0, priority: 1 }),
      sequenceOf(1, 4, { arrivalTime: 9_999 }),
      sequenceOf(2, 4, { arrivalTime: 10_001 }),
    ];
    expect(served(new RankedPolicy(priorityRank), sequences)).toEqual([1, 0, 2]);
  });

  it('shortest: by the steps of prompt and output, until one has waited long enough', () => {
    const sequences = [
      sequenceOf(0, 4, { maxTokens: 100 }),
      sequenceOf(1, 4, { maxTokens: 10 }),
      // Four steps more for its prompt.
      sequenceOf(2, 40, { maxTokens: 8 }),
      sequenceOf(3, 4, { maxTokens: 10, arrivalTime: 91 * WAIT_PER_STEP_MS }),
    ];
    expect(served(new RankedPolicy(shortestRank(longest, 8)), sequences)).toEqual([1, 2, 0, 3]);
  });

  it('a sequence keeps its place when what is predicted of it changes', () => {
    let expected = 5;
    const policy = new RankedPolicy(shortestRank({ ...longest, expected: () => expected }, 8));
    const [first, second] = [sequenceOf(0, 4), sequenceOf(1, 4)];
    policy.add(first);
    policy.remove(first);
    expected = 50;
    policy.add(second);
    policy.add(first);
    expect(policy.next()).toBe(first);
  });
});
