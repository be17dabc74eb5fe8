import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Sampler } from '../../../engine/sampling/sampler.js';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import { SequenceSampler } from '../../../engine/sampling/sequence-sampler.js';
import { ThinkingBudget, type ThinkingLimit } from '../../../engine/sampling/thinking-budget.js';
import type { TokenConstraint } from '../../../engine/sampling/token-constraint.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { wholeRow } from '../../support/logits-result.js';

const ids = (...tokens: number[]): TokenId[] => tokens as TokenId[];

/** `<think>` is 1 2, `</think>` is 3 4, a line's end is 9. */
const limit = (budget: number, isOpen: boolean): ThinkingLimit => ({
  budget,
  open: ids(1, 2),
  close: ids(3, 4),
  closing: ids(9, 3, 4),
  isOpen,
});

/** What is generated when the model wants these tokens, and must sometimes write others. */
function written(options: ThinkingLimit, wanted: readonly number[]): number[] {
  const budget = new ThinkingBudget(options);
  return wanted.map((token) => {
    const next = budget.forced() ?? (token as TokenId);
    budget.accept(next);
    return next;
  });
}

const seven = (count: number): number[] => Array.from({ length: count }, () => 7);

test('after the budget the closing text is written, then anything', () => {
  expect(written(limit(2, true), seven(7))).toEqual([7, 7, 9, 3, 4, 7, 7]);
  expect(written(limit(0, true), seven(5))).toEqual([9, 3, 4, 7, 7]);
});

test('what the model has begun of it by itself is gone on with', () => {
  expect(written(limit(2, true), [7, 9, 7, 7, 7])).toEqual([7, 9, 3, 4, 7]);
  expect(written(limit(3, true), [7, 9, 3, 7, 7])).toEqual([7, 9, 3, 4, 7]);
});

test('a model that ends in time is left alone, and thinks once', () => {
  const wanted = [7, 3, 4, ...seven(9), 1, 2, ...seven(9)];
  expect(written(limit(5, true), wanted)).toEqual(wanted);
});

test('without an open prompt, the budget begins behind the opening text', () => {
  expect(written(limit(1, false), [9, 1, 2, ...seven(6)])).toEqual([9, 1, 2, 7, 9, 3, 4, 7, 7]);
  const answer = [...seven(8), 1, 2, ...seven(8)];
  expect(written(limit(1, false), answer)).toEqual(answer);
});

test('what may be forced is known before, whatever comes in between', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 20 }),
      fc.integer({ min: 0, max: 8 }),
      fc.boolean(),
      fc.integer({ min: 0, max: 5 }),
      (tokens, budget, isOpen, at) => {
        const state = new ThinkingBudget(limit(budget, isOpen));
        for (const token of tokens.slice(0, at)) state.accept(token as TokenId);
        const later = state.fork();
        tokens.slice(at).forEach((token, ahead) => {
          if (later.forced() !== null) expect(state.mayForce(ahead)).toBe(true);
          later.accept(token as TokenId);
        });
      },
    ),
  );
});

const ROW = wholeRow(Float32Array.from([0, 0, 0, 0, 0, 0, 0, 5, 0, 0]));

/** Allows token 5 first, then everything. */
function late(): TokenConstraint {
  let accepted = 0;
  return {
    isReady: () => true,
    whenReady: () => Promise.resolve(),
    mask: () => (accepted < 1 ? Int32Array.of(1 << 5) : null),
    forced: () => [],
    accept: () => void accepted++,
    rollback: () => undefined,
    dispose: () => undefined,
  };
}

test('a sampler waits with it until the constraint allows it', () => {
  const sampler = new SequenceSampler({
    params: GREEDY,
    promptTokenIds: [],
    stopTokenIds: [],
    minTokens: 0,
    constraint: late(),
    thinking: limit(0, true),
  });
  const edited = new Float32Array(10);
  const tokens = Array.from({ length: 5 }, () => {
    expect(sampler.needs().fullRow).toBe(true);
    const token = sampler.choose(new Sampler(), ROW, edited);
    sampler.accept(token);
    return token;
  });
  expect(tokens).toEqual([5, 9, 3, 4, 7]);
});
