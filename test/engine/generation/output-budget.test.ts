import { expect, test } from 'vitest';
import { outputBudget } from '../../../engine/generation/output-budget.js';

const budget = (asked: number): number =>
  outputBudget({ promptTokens: 10, asked, standard: 100, context: 2048, param: 'prompt' });

test('more than the context is refused, with numbers that people read', () => {
  expect(budget(2038)).toBe(2038);
  expect(() => budget(2039)).toThrow(
    /2048 tokens\. However, you requested 2049 tokens \(10 in the prompt, 2039 in the completion\)\.$/,
  );
  expect(() => budget(1e300)).toThrow(/ more than 9007199254740991 /);
  expect(() => budget(1e300)).not.toThrow(/e\+/);
});
