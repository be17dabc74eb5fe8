import { describe, expect, it } from 'vitest';
import type { TokenId } from '../../../scheduler/ids.js';
import { LearnedLengths } from '../../../scheduler/prediction/length-predictor.js';
import type { RequestSpec, Sequence } from '../../../scheduler/sequence.js';
import { range, sequenceOf } from '../../support/sequences.js';

const BLOCK = 16;
let order = 0;

/** A sequence that has generated so many tokens. */
function generated(tokens: number, spec: Partial<RequestSpec>): Sequence {
  const sequence = sequenceOf(order++, 20, { maxTokens: 1000, ...spec });
  sequence.tokens.push(...(range(0, tokens) as TokenId[]));
  return sequence;
}

const systemPrompt = (first: number) => range(first, 20) as TokenId[];

describe('learned lengths', () => {
  it('expect an output to become as long as it may until something is known, and promise nothing', () => {
    const lengths = new LearnedLengths(BLOCK);
    expect(lengths.expected(generated(0, { maxTokens: 77 }))).toBe(77);
    expect(lengths.quantile(generated(3, { maxTokens: 77 }), 0.9)).toBeNull();
  });

  it('tell apart by first block, tenant, route and limit, and go by the narrowest that knows enough', () => {
    const lengths = new LearnedLengths(BLOCK);
    const terse = { promptTokenIds: systemPrompt(0), tenant: 'a', route: 'chat' };
    const wordy = { promptTokenIds: systemPrompt(500), tenant: 'a', route: 'chat' };
    for (let i = 0; i < 10; i++) {
      lengths.ended(generated(10, terse));
      lengths.ended(generated(200, wordy));
    }
    expect(lengths.expected(generated(0, terse))).toBeCloseTo(10);
    expect(lengths.expected(generated(0, wordy))).toBeCloseTo(200);
    // A new system prompt: what the tenant's others get there.
    const other = { ...terse, promptTokenIds: systemPrompt(900) };
    expect(lengths.expected(generated(0, other))).toBeCloseTo(105);
    // Another limit: what all of the route get within it.
    expect(lengths.expected(generated(0, { ...other, maxTokens: 50 }))).toBeCloseTo(30);
    expect(lengths.expected(generated(0, { ...other, tenant: 'b' }))).toBeCloseTo(105);
  });

  it('a quantile is of those that have come as far', () => {
    const lengths = new LearnedLengths(BLOCK);
    for (let i = 1; i <= 100; i++) lengths.ended(generated(i, {}));
    expect(lengths.quantile(generated(0, {}), 0.5)).toBe(50);
    expect(lengths.quantile(generated(0, {}), 0.9)).toBe(90);
    expect(lengths.quantile(generated(80, {}), 0.5)).toBe(90);
    // None was longer: it may double, within its limit.
    expect(lengths.quantile(generated(100, {}), 0.5)).toBe(200);
    expect(lengths.quantile(generated(100, { maxTokens: 120 }), 0.5)).toBe(120);
  });

  it('learn nothing of what never ran, and forget the groups that were used least lately', () => {
    const lengths = new LearnedLengths(BLOCK);
    lengths.ended(generated(0, {}));
    lengths.ended(generated(0, { maxTokens: 0 }));
    expect(lengths.numGroups).toBe(0);
    for (let i = 0; i < 3000; i++) lengths.ended(generated(5, { tenant: `${i}` }));
    expect(lengths.numGroups).toBeLessThanOrEqual(1024);
    expect(lengths.expected(generated(0, { tenant: 'new' }))).toBeCloseTo(5);
  });
});
