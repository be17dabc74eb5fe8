import { expect, it } from 'vitest';
import { CoreHarness } from '../../support/core-harness.js';

it('tells how long first tokens took, and what each step computed', async () => {
  // One sequence runs at a time, and the harness's clock counts its own readings.
  const h = new CoreHarness({ maxNumSeqs: 1, maxNumBatchedTokens: 4 });
  h.add(['a', 'b'], [1, 2, 3, 4, 5], 2);
  h.add('later', [7], 1);
  expect(h.core.report).toBeNull();
  expect(await h.step()).toEqual([]);
  expect(h.core.report?.numTokens).toBe(4);
  const [a, b] = await h.step();
  expect(h.core.report?.numTokens).toBe(1);
  expect(a.times?.queued).toBeGreaterThan(0);
  expect(a.times?.prefill).toBeGreaterThan(0);
  expect(b.times).toEqual(a.times);
  const rest = [];
  while (h.core.hasWork) rest.push(...(await h.step()));
  const later = rest.find(({ id }) => id === 'later');
  expect(later?.times?.queued).toBeGreaterThan(a.times?.queued ?? 0);
  // Only a sequence's first token has times.
  expect(rest.filter(({ id }) => id !== 'later').some((o) => o.times)).toBe(false);
});
