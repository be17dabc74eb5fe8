import { describe, expect, it } from 'vitest';
import type { SequenceId } from '../../../scheduler/ids.js';
import { CoreHarness, type HarnessConfig } from '../../support/core-harness.js';
import { expectedText, modelHidden, modelLogits } from '../../support/paged-model.js';
import { logSoftmax } from '../../support/uncut-model.js';

const VOCAB = 50;
const prompts = Array.from({ length: 24 }, (_, i) =>
  Array.from({ length: 1 + ((i * 11) % 40) }, (__, j) => (j * j + (i % 5)) % VOCAB),
);
const mean = (prompt: readonly number[]): number[] => {
  const rows = prompt.map((_, i) => modelHidden(prompt.slice(0, i + 1)));
  return rows[0].map((_, d) => rows.reduce((sum, row) => sum + row[d], 0) / prompt.length);
};

/** Embeddings, log-probabilities and plain texts of all prompts, at once. */
async function runMixed(config: HarnessConfig): Promise<CoreHarness> {
  const h = new CoreHarness({ vocabSize: VOCAB, maxNumBatchedTokens: 9, ...config });
  prompts.forEach((prompt, i) => {
    h.add(`text${i}`, prompt, 12);
    h.add(`mean${i}`, prompt, 5, { pooling: 'mean' });
    h.add(`last${i}`, prompt, 5, { pooling: 'last' });
    h.add([`logs${i}.a`, `logs${i}.b`], prompt, 4, { promptLogprobs: 3 });
  });
  await h.runToEnd();
  return h;
}

describe('what requests read of their prompts', () => {
  it.each([
    ['with room for all', 400, 'fcfs'],
    ['preempted in the middle of prompts', 14, 'priority'],
  ] as const)('is exact, %s', async (_, numBlocks, policy) => {
    const h = await runMixed({ numBlocks, policy });
    expect(h.scheduler.numPreemptions > 0).toBe(numBlocks === 14);
    // Some prompts were begun more than once.
    const begun = h.model.steps.flatMap(({ sequences }) =>
      sequences.filter((s) => s.numComputed === 0 && s.id.startsWith('mean')),
    );
    expect(begun.length > prompts.length).toBe(numBlocks === 14);
    prompts.forEach((prompt, i) => {
      const close = (values: readonly number[]) =>
        values.map((x) => expect.closeTo(x, 5) as number);
      expect([...(h.finished.get(`mean${i}`)?.embedding ?? [])]).toEqual(close(mean(prompt)));
      expect([...(h.finished.get(`last${i}`)?.embedding ?? [])]).toEqual(
        close(modelHidden(prompt)),
      );
      const logprobs = prompt.slice(1).map((token, at) => {
        return expect.closeTo(
          logSoftmax(modelLogits(prompt.slice(0, at + 1), VOCAB))[token],
          5,
        ) as number;
      });
      const first = h.first.get(`logs${i}.a`)?.promptLogprobs;
      expect(first?.map(({ logprob }) => logprob)).toEqual(logprobs);
      expect(first?.every(({ topIds }) => topIds.length === 3)).toBe(true);
      // A result of the request: the same object, not another one.
      expect(h.first.get(`logs${i}.b`)?.promptLogprobs).toBe(first);
      expect(h.texts.get(`text${i}`)).toEqual(expectedText(prompt, 12, VOCAB));
      expect(h.texts.get(`logs${i}.b`)).toEqual(expectedText(prompt, 4, VOCAB));
    });
    expect(h.cache.pool.numUsed).toBe(0);
  });

  it('is asked once: no row of a prompt is computed for its logits again', async () => {
    const h = await runMixed({ numBlocks: 400 });
    const rows = h.model.queries.reduce((n, { softmaxSums }) => n + softmaxSums.rows.length, 0);
    expect(rows).toBe(prompts.reduce((n, { length }) => n + length - 1, 0));
  });

  it('goes with the completion that is left when the first one is aborted', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB, maxNumBatchedTokens: 4 });
    h.add(['a', 'b'], [1, 2, 3, 4, 5, 6, 7], 3, { promptLogprobs: 0 });
    await h.step();
    h.core.abort('a' as SequenceId);
    await h.runToEnd();
    expect(h.first.get('b')?.promptLogprobs?.length).toBe(6);
  });

  it('an embedding may fill the whole cache, and does not wait for room to generate', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB, maxModelLength: 32, numBlocks: 4 });
    const full = prompts[8].concat(prompts[8]).slice(0, 16);
    h.add('full', full, 5, { pooling: 'last' });
    await h.runToEnd();
    expect(h.finished.get('full')).toMatchObject({ tokenIds: [], finishReason: 'stop' });
    expect(() => h.add('more', [...full, 1], 5, { pooling: 'last' })).toThrow(/4 blocks/);
  });
});
