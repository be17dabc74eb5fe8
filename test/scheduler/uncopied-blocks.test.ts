import { expect, it } from 'vitest';
import type { StepPlan } from '../../scheduler/step-plan.js';
import { CoreHarness, type HarnessConfig } from '../support/core-harness.js';
import { expectedText } from '../support/paged-model.js';
import { range } from '../support/sequences.js';

const VOCAB = 20;
const uncopied = (config: HarnessConfig): CoreHarness =>
  new CoreHarness({ vocabSize: VOCAB, blockSize: 4, canCopyBlocks: false, ...config });

/** What a step computes of each sequence: the number of tokens and the first one's position. */
const pieces = ({ sequences }: StepPlan): number[][] =>
  sequences.map(({ tokenIds, numComputed }) => [tokenIds.length, numComputed]);

it('choices compute the block that they share once more, but the last that holds it', async () => {
  const h = uncopied({});
  h.add(['a', 'b', 'c'], range(0, 11), 6);
  await h.runToEnd();
  const steps = h.model.steps.map(pieces);
  expect(steps[0]).toEqual([[11, 0]]);
  // Positions 8 to 10 of the prompt, and the first token of the answer.
  const [again, alone] = [
    [4, 8],
    [1, 11],
  ];
  expect(steps[1]).toEqual([again, again, alone]);
  expect(steps[2]).toEqual([12, 12, 12].map((position) => [1, position]));
  for (const id of ['a', 'b', 'c']) {
    expect(h.texts.get(id)).toEqual(expectedText(range(0, 11), 6, VOCAB));
  }
  expect(h.model.steps.flatMap(({ blockCopies }) => blockCopies)).toEqual([]);
});

it('nothing is computed again where the shared blocks are full', async () => {
  const h = uncopied({});
  h.add(['a', 'b'], range(0, 12), 3);
  await h.runToEnd();
  expect(h.model.steps.map(pieces).slice(1)).toEqual([
    [
      [1, 12],
      [1, 12],
    ],
    [
      [1, 13],
      [1, 13],
    ],
  ]);
});

it('a small step computes the shared block in pieces', async () => {
  const h = uncopied({ maxNumBatchedTokens: 3, maxNumSeqs: 2 });
  h.add(['a', 'b'], range(0, 11), 6);
  await h.runToEnd();
  for (const id of ['a', 'b']) {
    expect(h.texts.get(id)).toEqual(expectedText(range(0, 11), 6, VOCAB));
  }
  expect(Math.max(...h.model.steps.map(({ numTokens }) => numTokens))).toBe(3);
});

it('windows keep what the tokens see that are computed again', async () => {
  const groups = [{ kind: 'full' } as const, { kind: 'sliding-window', window: 2 } as const];
  const h = uncopied({ groups });
  // The window of token 15 begins in the last block, and that of token 12 in the one before it.
  h.add(['a', 'b'], range(0, 15), 6);
  await h.runToEnd();
  for (const id of ['a', 'b']) {
    expect(h.texts.get(id)).toEqual(expectedText(range(0, 15), 6, VOCAB));
  }
});

it('states need copies', () => {
  const groups = [{ kind: 'recurrent', checkpointBlocks: 1 } as const];
  expect(() => uncopied({ groups })).toThrow('blocks cannot be copied');
});
