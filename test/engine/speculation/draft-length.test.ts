import { expect, it } from 'vitest';
import { AcceptanceRates } from '../../../engine/speculation/acceptance.js';
import { bestDraftLength } from '../../../engine/speculation/draft-length.js';
import { StepCosts } from '../../../engine/speculation/step-costs.js';

const COSTS = new StepCosts([
  { rows: 1, ms: 14 },
  { rows: 8, ms: 26 },
  { rows: 32, ms: 65 },
]);
const always = (rate: number) => (): number => rate;

it('costs lie on lines between what was measured, and beyond', () => {
  expect([1, 8, 20, 44].map((rows) => COSTS.of(rows))).toEqual([14, 26, 45.5, 84.5]);
  // A measurement that was disturbed does not make larger steps free.
  const disturbed = new StepCosts([
    { rows: 1, ms: 20 },
    { rows: 2, ms: 15 },
    { rows: 4, ms: 30 },
  ]);
  expect([disturbed.of(1), disturbed.of(2)]).toEqual([15, 15]);
  expect(() => new StepCosts([{ rows: 1, ms: 1 }])).toThrow('two measured steps');
});

it('drafts as long as it is likely to hold, and less when the batch is full', () => {
  const length = (rate: number, rows: number): number =>
    bestDraftLength(always(rate), 16, { rows, decided: rows }, COSTS).length;
  expect([0.05, 0.5, 0.8, 0.99].map((rate) => length(rate, 1))).toEqual([0, 2, 5, 16]);
  expect([0.05, 0.5, 0.8, 0.99].map((rate) => length(rate, 32))).toEqual([0, 0, 0, 16]);
  expect(bestDraftLength(always(1), 0, { rows: 1, decided: 1 }, COSTS).length).toBe(0);
});

it('learns how often drafts are right, at each depth, for others too', () => {
  const common = new AcceptanceRates(100);
  const own = new AcceptanceRates(20, common);
  for (let i = 0; i < 200; i++) {
    own.observe('short', 0, i % 4 === 0);
    own.observe('short', 1, true);
  }
  expect(own.rate('short', 0)).toBeCloseTo(0.25, 1);
  expect(own.rate('short', 1)).toBeGreaterThan(0.95);
  expect(new AcceptanceRates(20, common).rate('short', 0)).toBeCloseTo(0.25, 1);
  // What was not observed is expected as before.
  expect(own.rate('long', 0)).toBe(0.6);
});
