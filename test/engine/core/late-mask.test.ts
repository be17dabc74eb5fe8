import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { TokenId } from '../../../scheduler/ids.js';
import { CoreHarness, type HarnessConfig } from '../../support/core-harness.js';
import { LateConstraint } from '../../support/late-constraint.js';

const VOCAB = 50;

it('31 sequences keep their pace while the mask of the 32nd is late', async () => {
  const harness = new CoreHarness({ maxNumSeqs: 32, maxNumBatchedTokens: 64, numBlocks: 512 });
  const constraint = new LateConstraint(VOCAB, (accepted) => accepted === 3);
  harness.add('late', [1, 2], 12, {}, [constraint]);
  const others = Array.from({ length: 31 }, (_, i) => `other-${i}`);
  for (const [i, id] of others.entries()) harness.add(id, [3, i], 12);
  const length = (id: string): number => harness.texts.get(id)?.length ?? 0;
  await harness.step();
  for (let step = 2; step <= 8; step++) {
    await harness.step();
    expect(others.map(length)).toEqual(others.map(() => step));
  }
  expect(length('late')).toBe(3);
  expect(harness.scheduler.numRunning).toBe(32);
  constraint.arrive();
  await harness.step();
  expect(length('late')).toBe(4);
  await harness.runToEnd();
  expect(harness.texts.get('late')).toEqual(await withoutDelay('late', [1, 2], 12));
});

it('nothing runs while all that is left waits for a mask, and it goes on when that is there', async () => {
  const harness = new CoreHarness();
  // After 2 of 4 and 3 tokens the last token fills a block: it is committed before its row is asked
  // for again.
  const constraint = new LateConstraint(VOCAB, (accepted) => accepted === 2 || accepted === 3);
  harness.add('a', [1, 2], 9, {}, [constraint]);
  for (const held of [2, 3]) {
    await harness.runWhilePossible();
    expect(constraint.accepted).toHaveLength(held);
    const ready = harness.core.whenReady();
    constraint.arrive();
    await ready;
  }
  await harness.runToEnd();
  expect(harness.texts.get('a')).toEqual(await withoutDelay('a', [1, 2], 9));
});

it('an aborted sequence is waited for no more', async () => {
  const harness = new CoreHarness();
  const constraint = new LateConstraint(VOCAB, () => true);
  harness.add('a', [1, 2], 9, {}, [constraint]);
  await harness.runWhilePossible();
  harness.core.abort(harness.scheduler.progress(1)[0].ids[0]);
  expect(harness.core.hasWork).toBe(false);
  harness.core.checkIntegrity();
  expect(constraint.disposals).toBe(1);
});

it('late masks, proposals, siblings and scarce blocks change no text', async () => {
  const sequences = fc.array(
    fc.record({
      siblings: fc.integer({ min: 1, max: 3 }),
      prompt: fc.array(fc.integer({ min: 0, max: VOCAB - 1 }), { minLength: 1, maxLength: 9 }),
      maxTokens: fc.integer({ min: 1, max: 14 }),
      late: fc.array(fc.boolean(), { minLength: 3, maxLength: 7 }),
    }),
    { minLength: 1, maxLength: 5 },
  );
  await fc.assert(
    fc.asyncProperty(
      sequences,
      fc.integer({ min: 14, max: 40 }),
      fc.boolean(),
      async (all, numBlocks, proposes) => {
        const config = { numBlocks, maxModelLength: 24, ...(proposes && { propose: guess }) };
        const harness = new CoreHarness(config);
        const constraints: LateConstraint[] = [];
        for (const [i, { siblings, prompt, maxTokens, late }] of all.entries()) {
          const ids = Array.from({ length: siblings }, (_, k) => `${i}-${k}`);
          const own = ids.map(
            (_, k) => new LateConstraint(VOCAB, (accepted) => late[(accepted + k) % late.length]),
          );
          constraints.push(...own);
          harness.add(ids, prompt, maxTokens, {}, own);
        }
        for (let round = 0; harness.core.hasWork; round++) {
          if (round === 500) throw new Error('it does not end');
          await harness.step();
          // Some arrive after one step, some after two.
          constraints.filter((_, i) => (i + round) % 2 === 0).forEach((c) => c.arrive());
        }
        for (const [i, { siblings, prompt, maxTokens }] of all.entries()) {
          for (let k = 0; k < siblings; k++) {
            const alone = await withoutDelay('x', prompt, maxTokens);
            expect(harness.texts.get(`${i}-${k}`)).toEqual(alone);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

it('proposals are verified under a constraint: a right guess saves steps', async () => {
  const text = (await withoutDelay('a', [1, 2], 12)) ?? [];
  const propose = (_id: string, most: number): TokenId[] => {
    const known = harness.texts.get('a')?.length ?? 0;
    return text.slice(known, known + Math.min(most, 3)) as TokenId[];
  };
  const harness = new CoreHarness({ propose });
  harness.add('a', [1, 2], 12, {}, [new LateConstraint(VOCAB, () => false)]);
  await harness.runToEnd();
  expect(harness.texts.get('a')).toEqual(text);
  // Four in each step, the prompt's included.
  expect(harness.core.stats.steps).toBe(3);
});

/** Right where a token is small, wrong elsewhere. */
function guess(_id: string, most: number): TokenId[] {
  return Array.from({ length: Math.min(most, 3) }, (_, i) => (i % VOCAB) as TokenId);
}

async function withoutDelay(
  id: string,
  prompt: readonly number[],
  maxTokens: number,
  config: HarnessConfig = {},
): Promise<number[] | undefined> {
  const harness = new CoreHarness(config);
  harness.add(id, prompt, maxTokens, {}, [new LateConstraint(VOCAB, () => false)]);
  await harness.runToEnd();
  return harness.texts.get(id);
}
