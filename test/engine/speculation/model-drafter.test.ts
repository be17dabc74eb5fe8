import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import { Speculator } from '../../../engine/speculation/speculator.js';
import type { CacheGroup } from '../../../kvcache/cache-group.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { CoreHarness, type HarnessConfig } from '../../support/core-harness.js';
import { CountingConstraint } from '../../support/counting-constraint.js';
import { CHEAP, FREE, type PagedDraftOptions, pagedDrafter } from '../../support/draft-models.js';

const VOCAB = 20;
const WARM = { ...GREEDY, temperature: 0.8, topP: 0.9, seed: 11 };
const PENALIZED = { ...WARM, temperature: 1.2, frequencyPenalty: 0.4, repetitionPenalty: 1.1 };
const WINDOWS: readonly CacheGroup[] = [{ kind: 'full' }, { kind: 'sliding-window', window: 6 }];

const TOLD = {
  promptTokenIds: [1, 2, 3] as TokenId[],
  id: 'told' as SequenceId,
  shareKey: '',
  cacheSalt: null,
  maxTokens: 9,
  createSampler: () => {
    throw new Error('nothing is sampled');
  },
};

/** A whole engine over the test model, and the same with a draft model. */
function drafting(config: HarnessConfig, draft: Partial<PagedDraftOptions> = {}) {
  const { vocabSize = VOCAB } = config;
  const paged = pagedDrafter({ vocabSize, ...draft, targetVocabSize: vocabSize });
  const speculator = new Speculator({
    drafter: null,
    computing: { drafter: paged.drafter, costs: CHEAP },
    maxDraftTokens: 6,
    costs: FREE,
    now: () => 0,
  });
  const harness = new CoreHarness({ vocabSize, ...config, proposer: speculator });
  return { ...paged, speculator, harness };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe('drafts of the same model', () => {
  it.each([
    ['greedy', GREEDY],
    ['sampled', WARM],
    ['with penalties', PENALIZED],
  ])('are all right: %s', async (_, sampling) => {
    const { harness, speculator } = drafting({});
    const plain = new CoreHarness({ vocabSize: VOCAB });
    for (const each of [harness, plain]) {
      each.add('a', [1, 2, 3], 30, { sampling });
      each.add(['b', 'c'], [4, 5, 6, 7, 8, 9], 25, { sampling });
      await each.runToEnd();
    }
    expect(harness.texts).toEqual(plain.texts);
    const { draftTokens, acceptedAt } = speculator.stats;
    expect(sum(acceptedAt)).toBe(draftTokens);
    expect(draftTokens).toBeGreaterThan(40);
    expect(harness.core.stats.steps).toBeLessThan(plain.core.stats.steps / 3);
  });

  it('of all sequences are computed together, a run for each depth', async () => {
    const { harness, model } = drafting({ maxNumSeqs: 8 });
    for (let i = 0; i < 8; i++) harness.add(`${i}`, [i + 1, 2, 3], 20);
    await harness.step();
    expect(model.steps).toHaveLength(0);
    await harness.step();
    // First the prompts, then a token of each.
    for (const { sequences } of model.steps) expect(sequences).toHaveLength(8);
    expect(model.steps.map(({ numTokens }) => numTokens)).toEqual([32, 8, 8, 8, 8, 8]);
  });

  it('are computed from what other prompts have left in its cache', async () => {
    const { harness, model } = drafting({});
    harness.add('a', [1, 2, 3, 4, 5, 6, 7, 8, 9], 4);
    await harness.runToEnd();
    model.steps.length = 0;
    harness.add('b', [1, 2, 3, 4, 5, 6, 7, 8, 3], 4);
    harness.add('c', [1, 2, 3, 4, 5, 6, 7, 8, 3], 4, { cacheSalt: 'of its own' });
    await harness.runToEnd();
    expect(model.steps[0]?.sequences.map(({ numComputed }) => numComputed)).toEqual([8, 0]);
    expect(harness.core.resetPrefixCache()).toBe(true);
    model.steps.length = 0;
    harness.add('d', [1, 2, 3, 4, 5, 6, 7, 8, 3], 4);
    await harness.runToEnd();
    expect(model.steps[0]?.sequences[0]?.numComputed).toBe(0);
  });

  it('of a long prompt wait until it is computed, in pieces of several steps', async () => {
    const { harness, model } = drafting({}, { maxTokens: 8 });
    const prompt = Array.from({ length: 30 }, (_, i) => i % VOCAB);
    harness.add('a', prompt, 40);
    const drafted: number[] = [];
    while (harness.core.hasWork) {
      const before = harness.model.steps.length;
      await harness.step();
      const [plan] = harness.model.steps.slice(before);
      drafted.push(plan?.sequences[0]?.numProposed ?? 0);
    }
    expect(model.steps.slice(0, 4).map(({ numTokens }) => numTokens)).toEqual([8, 8, 8, 8]);
    expect(drafted.slice(0, 4)).toEqual([0, 0, 0, 0]);
    expect(Math.max(...drafted)).toBe(6);
  });

  it('end where the draft model does, and where blocks are missing', async () => {
    const { harness, speculator, cache } = drafting({}, { numBlocks: 4, maxLength: 14 });
    const plain = new CoreHarness({ vocabSize: VOCAB });
    for (const each of [harness, plain]) {
      each.add('a', [1, 2, 3, 4, 5], 20);
      each.add('b', [7, 2, 3, 4, 5], 20);
      await each.runToEnd();
    }
    expect(harness.texts).toEqual(plain.texts);
    expect(sum(speculator.stats.acceptedAt)).toBe(speculator.stats.draftTokens);
    expect(speculator.stats.draftTokens).toBeGreaterThan(0);
    expect(cache.pool.numUsed).toBe(0);
  });

  it('of a sequence that pauses give back its blocks, and are computed again', async () => {
    const { harness, cache, model } = drafting({});
    const a = 'a' as SequenceId;
    harness.add(a, [1, 2, 3, 4, 5], 30);
    harness.add('b', [7, 2, 3, 4, 5], 30);
    for (let i = 0; i < 2; i++) await harness.step();
    const both = cache.pool.numUsed;
    harness.core.pause([a]);
    await harness.step();
    expect(cache.pool.numUsed).toBeLessThan(both);
    harness.core.resume([a]);
    model.steps.length = 0;
    await harness.step();
    // What was full of its text is still cached.
    expect(model.steps[0]?.sequences[0]?.numComputed).toBe(4);
    await harness.runToEnd();
    expect(cache.pool.numUsed).toBe(0);
  });

  it('of sequences that are preempted stay right', async () => {
    const { harness, speculator } = drafting({ numBlocks: 13 });
    const plain = new CoreHarness({ vocabSize: VOCAB });
    for (const each of [harness, plain]) {
      for (let i = 0; i < 4; i++) each.add(`${i}`, [i, 2, 3, 4, 5], 24, { sampling: WARM });
      await each.runToEnd();
    }
    expect(harness.scheduler.numPreemptions).toBeGreaterThan(0);
    expect(harness.texts).toEqual(plain.texts);
    expect(sum(speculator.stats.acceptedAt)).toBe(speculator.stats.draftTokens);
  });

  it('are none for images, and for tokens that it does not know', async () => {
    const { harness, model, drafter } = drafting({}, { vocabSize: 15 });
    const withImages = drafter.begin({ ...TOLD, hasImages: true });
    withImages.extend([4 as TokenId]);
    expect([withImages.room, withImages.draft(5).tokenIds]).toEqual([0, []]);
    withImages.end();
    harness.add('b', [1, 19, 3], 9);
    await harness.runToEnd();
    expect(model.steps).toHaveLength(0);
    // Another vocabulary says other things, and is right now and then.
    harness.add('c', [1, 2, 3], 30, { sampling: { ...WARM, logitBias: [[18 as never, 3]] } });
    const plain = new CoreHarness({ vocabSize: VOCAB });
    plain.add('c', [1, 2, 3], 30, { sampling: { ...WARM, logitBias: [[18 as never, 3]] } });
    await harness.runToEnd();
    await plain.runToEnd();
    expect(harness.texts.get('c')).toEqual(plain.texts.get('c'));
  });

  it('beyond the vocabulary of the model are left out', async () => {
    const { harness } = drafting({ vocabSize: 5 }, { vocabSize: VOCAB });
    harness.add('a', [1, 2, 3], 30);
    await harness.runToEnd();
    const proposed = harness.model.steps.flatMap(({ sequences }) => sequences[0]?.tokenIds ?? []);
    expect(Math.max(...proposed)).toBeLessThan(5);
  });

  it('are checked by grammars', async () => {
    const { harness } = drafting({});
    const plain = new CoreHarness({ vocabSize: VOCAB });
    for (const each of [harness, plain]) {
      each.add('a', [1, 2, 3], 20, { sampling: WARM }, [new CountingConstraint(VOCAB)]);
      await each.runToEnd();
    }
    expect(harness.texts).toEqual(plain.texts);
  });
});

const event = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      family: fc.nat({ max: 2 }),
      length: fc.integer({ min: 1, max: 24 }),
      maxTokens: fc.integer({ min: 1, max: 24 }),
      choices: fc.integer({ min: 1, max: 2 }),
      sampling: fc.constantFrom(GREEDY, WARM, PENALIZED),
    }),
  },
  ...(['abort', 'pause', 'resume'] as const).map((kind) => ({
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant(kind), pick: fc.nat() }),
  })),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('steps' as const),
      count: fc.integer({ min: 1, max: 8 }),
    }),
  },
);

it('any history gives the texts without drafts, and drafts of the same model stay right', async () => {
  const setting = fc.record({
    /** Few enough that sequences are preempted. */
    numBlocks: fc.integer({ min: 13, max: 40 }),
    maxNumBatchedTokens: fc.integer({ min: 4, max: 40 }),
    enablePrefixCaching: fc.boolean(),
    draftBlocks: fc.integer({ min: 3, max: 60 }),
    draftTokens: fc.integer({ min: 3, max: 40 }),
    /** A smaller vocabulary makes the draft another model. */
    isSame: fc.boolean(),
    windows: fc.boolean(),
  });
  let [drafted, rejected] = [0, 0];
  await fc.assert(
    fc.asyncProperty(setting, fc.array(event, { maxLength: 24 }), async (given, events) => {
      const { numBlocks, maxNumBatchedTokens, enablePrefixCaching, isSame } = given;
      const config = { numBlocks, maxNumBatchedTokens, maxModelLength: 48, enablePrefixCaching };
      const { harness, speculator, drafter } = drafting(config, {
        numBlocks: given.draftBlocks,
        maxTokens: given.draftTokens,
        vocabSize: isSame ? VOCAB : VOCAB - 3,
        ...(given.windows && { groups: WINDOWS }),
      });
      const plain = new CoreHarness({ vocabSize: VOCAB });
      const ended = new Set<string>();
      const live = (): string[] =>
        [...plain.texts.keys()].filter((id) => !ended.has(id) && !harness.finished.has(id));
      const requests: string[][] = [];
      for (const [i, each] of events.entries()) {
        if (each.kind === 'add') {
          const { family, length, maxTokens, choices, sampling } = each;
          const prompt = Array.from({ length }, (_, k) => (k * (family + 2)) % 15);
          const ids = Array.from({ length: choices }, (_, k) => `${i}-${k}`);
          for (const engine of [harness, plain]) engine.add(ids, prompt, maxTokens, { sampling });
          for (const id of ids) plain.texts.set(id, []);
          requests.push(ids);
        } else if (each.kind === 'steps') {
          for (let k = 0; k < each.count; k++) await harness.step();
          harness.core.checkIntegrity();
        } else {
          const all = live();
          if (all.length === 0) continue;
          const id = all[each.pick % all.length] as SequenceId;
          if (each.kind === 'abort') {
            harness.core.abort(id);
            ended.add(id);
          } else harness.core[each.kind]([id]);
        }
      }
      harness.core.resume(live() as SequenceId[]);
      await harness.runToEnd();
      await plain.runToEnd();
      for (const [id, text] of plain.texts) {
        const own = harness.texts.get(id) ?? [];
        // One that was aborted has said the beginning of it.
        expect(own).toEqual(ended.has(id) ? text.slice(0, own.length) : text);
      }
      drafter.checkIntegrity();
      const { draftTokens, acceptedAt } = speculator.stats;
      if (isSame) expect(sum(acceptedAt)).toBe(draftTokens);
      drafted += draftTokens;
      rejected += draftTokens - sum(acceptedAt);
    }),
    { numRuns: 60 },
  );
  expect(drafted).toBeGreaterThan(0);
  expect(rejected).toBeGreaterThan(0);
});
