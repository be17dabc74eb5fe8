import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { SCHEDULING_POLICIES } from '../../scheduler/policies/scheduling-policy.js';
import { CoreHarness, type HarnessConfig } from '../support/core-harness.js';
import { expectedText } from '../support/paged-model.js';
import { type PlainBeams, plainBeams } from '../support/plain-beams.js';
import { range } from '../support/sequences.js';

const VOCAB = 12;
const BEAMS: PlainBeams = {
  width: 3,
  lengthPenalty: 1,
  earlyStopping: false,
  maxTokens: 9,
  stops: [],
};

/** Asks for as many outputs as there are beams: `name 0`, `name 1` and so on. */
function search(
  h: CoreHarness,
  name: string,
  prompt: readonly number[],
  { stops, maxTokens, ...beams }: PlainBeams,
): void {
  const ids = range(0, beams.width).map((i) => `${name} ${i}`);
  h.add(ids, prompt, maxTokens, { beams, stopTokenIds: stops as readonly TokenId[], logprobs: 0 });
}

function expectFound(
  h: CoreHarness,
  name: string,
  prompt: readonly number[],
  beams: PlainBeams,
): void {
  const expected = plainBeams(prompt, VOCAB, beams);
  for (const [rank, { tokenIds, score }] of expected.entries()) {
    const output = h.finished.get(`${name} ${rank}`);
    expect(output?.tokenIds).toEqual(tokenIds);
    expect(h.texts.get(`${name} ${rank}`)).toEqual(tokenIds);
    const sum = output?.logprobs?.reduce((total, { logprob }) => total + logprob, 0) ?? 0;
    expect(sum / tokenIds.length ** beams.lengthPenalty).toBeCloseTo(score, 4);
    const stopped = beams.stops.includes(tokenIds[tokenIds.length - 1]);
    expect(output?.finishReason).toBe(stopped ? 'stop' : 'length');
  }
}

function expectNothingLeft(h: CoreHarness): void {
  expect(h.core.hasWork).toBe(false);
  expect(h.cache.pool.numUsed).toBe(0);
  h.core.checkIntegrity();
}

describe('beam search', () => {
  it.each([
    [2, true],
    [3, true],
    [5, true],
    [3, false],
  ])(
    'with %s beams finds the texts that a search over whole texts finds (blocks can be copied: %s)',
    async (width, canCopyBlocks) => {
      const sizes = { maxNumSeqs: 3 * width, numBlocks: 200 };
      const h = new CoreHarness({ vocabSize: VOCAB, ...sizes, canCopyBlocks });
      const prompts = [range(0, 10), range(0, 7), range(5, 6)];
      for (const [i, prompt] of prompts.entries()) {
        search(h, `${i}`, prompt, { ...BEAMS, width });
        // Requests that are searched at the same time do not change each other's beams.
        if (i === 1) await h.step();
      }
      await h.runToEnd();
      for (const [i, prompt] of prompts.entries()) {
        expectFound(h, `${i}`, prompt, { ...BEAMS, width });
      }
      // Beams have parted: not all of them are continuations of the first step's.
      const copies = h.model.steps.some(({ blockCopies }) => blockCopies.length > 0);
      expect(copies).toBe(canCopyBlocks);
      expectNothingLeft(h);
    },
  );

  it('runs beside sampled requests, whose texts do not change', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB, maxNumSeqs: 6 });
    h.add('plain', range(3, 6), 12);
    search(h, 'a', range(0, 9), BEAMS);
    h.add(['x', 'y'], range(1, 5), 7);
    await h.runToEnd();
    expectFound(h, 'a', range(0, 9), BEAMS);
    expect(h.texts.get('plain')).toEqual(expectedText(range(3, 6), 12, VOCAB));
    expect(h.texts.get('y')).toEqual(expectedText(range(1, 5), 7, VOCAB));
    expectNothingLeft(h);
  });

  it('returns the best of more beams, says what the cache had, and nothing before the end', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    h.add('first', range(0, 9), 1);
    await h.runToEnd();
    h.add(['best'], range(0, 9), 6, { beams: BEAMS });
    const outputs = [];
    while (h.core.hasWork) outputs.push(...(await h.step()));
    const [expected] = plainBeams(range(0, 9), VOCAB, { ...BEAMS, maxTokens: 6 });
    expect(outputs).toMatchObject([{ id: 'best', tokenIds: expected.tokenIds, cachedTokens: 8 }]);
    expect(outputs[0].times).toBeDefined();
    expect(outputs[0].logprobs).toBeUndefined();
  });

  it('ends when its last output is not wanted any more', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    search(h, 'a', range(0, 9), BEAMS);
    for (let n = 0; n < 4; n++) await h.step();
    expect(h.core.abort('a 1' as SequenceId)).toBe(true);
    await h.step();
    expect(h.core.hasWork).toBe(true);
    for (const id of ['a 0', 'a 2']) h.core.abort(id as SequenceId);
    expectNothingLeft(h);
    search(h, 'b', range(0, 9), BEAMS);
    await h.step();
    h.core.abort('b 1' as SequenceId);
    await h.runToEnd();
    expect([...h.finished.keys()]).toEqual(['b 0', 'b 2']);
    expectNothingLeft(h);
  });

  it('goes on when its outputs are paused: there is nothing to hold back before its end', async () => {
    const h = new CoreHarness({ vocabSize: VOCAB });
    search(h, 'a', range(0, 9), BEAMS);
    await h.step();
    h.core.pause(['a 0', 'a 1', 'a 2'] as SequenceId[]);
    await h.runToEnd();
    expectFound(h, 'a', range(0, 9), BEAMS);
  });

  it('goes on after a preemption of one beam, and does not wait for a request that waits for it', async () => {
    // Two searches with room for one and a half; neither can go on with some of its beams only.
    const h = new CoreHarness({ vocabSize: VOCAB, numBlocks: 20, enablePrefixCaching: false });
    const beams = { ...BEAMS, maxTokens: 14 };
    search(h, 'a', range(0, 9), beams);
    search(h, 'b', range(2, 9), beams);
    await h.runToEnd();
    expect(h.scheduler.numPreemptions).toBeGreaterThan(0);
    expectFound(h, 'a', range(0, 9), beams);
    expectFound(h, 'b', range(2, 9), beams);
    expectNothingLeft(h);
  });

  it.each([
    [{ maxNumSeqs: 2 }, BEAMS, '3 beams run together, and the server runs at most 2 sequences'],
    [
      { numBlocks: 16 },
      { ...BEAMS, maxTokens: 30 },
      'The KV cache has room for 10 blocks of beams. The request needs 26',
    ],
    [{}, { ...BEAMS, maxTokens: 0 }, 'at least one token must be asked for'],
    [{}, { ...BEAMS, width: 7 }, 'at most 6 beams with 1 stop tokens, not 7'],
  ])('refuses what can never run: %j', (config, beams, message) => {
    const h = new CoreHarness({ vocabSize: VOCAB, maxModelLength: 40, ...config });
    expect(() => search(h, 'a', range(0, 9), beams)).toThrow(message);
    expectNothingLeft(h);
  });

  const window: CacheGroup = { kind: 'sliding-window', window: 6 };
  const settings = fc.record({
    policy: fc.constantFrom(...SCHEDULING_POLICIES),
    admissionQuantile: fc.constantFrom(0, 0, 0.9),
    numBlocks: fc.integer({ min: 16, max: 60 }),
    maxNumSeqs: fc.integer({ min: 4, max: 9 }),
    maxNumBatchedTokens: fc.integer({ min: 1, max: 24 }),
    enablePrefixCaching: fc.boolean(),
    canCopyBlocks: fc.boolean(),
    groups: fc.constantFrom([FULL_ATTENTION], [FULL_ATTENTION, window]),
  });
  const request = fc.record({
    start: fc.nat({ max: 6 }),
    length: fc.integer({ min: 1, max: 12 }),
    after: fc.nat({ max: 4 }),
    isPlain: fc.boolean(),
    beams: fc.record({
      width: fc.integer({ min: 1, max: 4 }),
      lengthPenalty: fc.constantFrom(0, 1, 2, -1),
      earlyStopping: fc.constantFrom(true, false, 'never' as const),
      maxTokens: fc.integer({ min: 1, max: 10 }),
      stops: fc.constantFrom([], [3], [1, 7]),
    }),
  });

  const promptOf = (start: number, length: number): number[] =>
    range(start, length).map((token) => token % VOCAB);

  it('finds the same texts whatever else runs, in small pools, under every policy', async () => {
    await fc.assert(
      fc.asyncProperty(
        settings,
        fc.array(request, { minLength: 1, maxLength: 4 }),
        async (config: HarnessConfig, requests) => {
          const h = new CoreHarness({ vocabSize: VOCAB, maxModelLength: 22, ...config });
          const accepted: number[] = [];
          for (const [i, { start, length, after, isPlain, beams }] of requests.entries()) {
            if (isPlain) h.add(`plain ${i}`, promptOf(start, length), beams.maxTokens);
            try {
              search(h, `${i}`, promptOf(start, length), beams);
              accepted.push(i);
            } catch (error) {
              // There is no room for so many beams in so few blocks.
              expect(error).toMatchObject({ code: 'context_length_exceeded' });
            }
            for (let n = 0; n < after; n++) await h.step();
          }
          await h.runToEnd();
          for (const [i, { start, length, isPlain, beams }] of requests.entries()) {
            const prompt = promptOf(start, length);
            if (accepted.includes(i)) expectFound(h, `${i}`, prompt, beams);
            if (!isPlain) continue;
            expect(h.texts.get(`plain ${i}`)).toEqual(expectedText(prompt, beams.maxTokens, VOCAB));
          }
          expectNothingLeft(h);
        },
      ),
      { numRuns: 150 },
    );
  });
});
