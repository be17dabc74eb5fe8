import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KernelAttention } from '../../../engine/attention/kernel-attention.js';
import { KV_DTYPES } from '../../../engine/attention/paged-attention.js';
import { ReferenceAttention } from '../../../engine/attention/reference-attention.js';
import { type CacheGroup, maxHeldBlocks } from '../../../kvcache/cache-group.js';
import { describeModelRunner } from '../../conformance/model-runner.js';
import { CoreHarness } from '../../support/core-harness.js';
import { type HybridConfig, HybridModel, hybridText } from '../../support/hybrid-model.js';
import { range } from '../../support/sequences.js';

const VOCAB = 20;
const SIZES = { numBlocks: 60, blockSize: 4, kvDtype: 'f32', vocabSize: VOCAB } as const;

/** A block's pages have 256 bytes for each layer with attention. */
const MODELS: readonly [string, Pick<HybridConfig, 'windows' | 'stateSizes'>][] = [
  ['states smaller than the pages', { windows: [0, 0], stateSizes: [9, 40] }],
  ['states in four groups, cut in the middle of layers', { windows: [0], stateSizes: [150, 100] }],
  ['states a little larger than the pages', { windows: [0, 0, 0], stateSizes: [100, 93] }],
  ['windows beside states', { windows: [6, 0, 6, 0], stateSizes: [77, 100] }],
  ['no attention', { windows: [], stateSizes: [30, 11] }],
];

const reference: HybridConfig['attention'] = (config) => new ReferenceAttention(config);
const kernel: HybridConfig['attention'] = (config) => new KernelAttention(config);

function build(config: Omit<HybridConfig, 'attention'>, attention = reference): HybridModel {
  const hasAttention = config.windows.length > 0 && attention !== undefined;
  return new HybridModel({ ...config, ...(hasAttention && { attention }) });
}

for (const [name, layers] of MODELS) {
  describeModelRunner(
    `a model with ${name}`,
    () => {
      // A checkpoint at the end of every block, where the suite looks for one.
      const sizes = { ...SIZES, numBlocks: 1200 };
      const runner = build({ ...sizes, ...layers });
      return Promise.resolve({ runner, ...sizes, numGroups: runner.plan.groups.length });
    },
    0,
  );
}

it('the cases have the layouts that their names say', () => {
  const layouts = MODELS.map(([, layers]) => {
    const { plan, store } = build({ ...SIZES, ...layers });
    expect(store.bytesPerBlock).toBe(plan.bytesPerBlock);
    return [plan.states.groups.length, plan.bytesPerBlock - 256 * plan.pages.numSlots];
  });
  expect(layouts).toEqual([
    [1, 0],
    [4, 0],
    [1, 4],
    [2, 0],
    [1, 164],
  ]);
});

describe.each(MODELS)('a model with %s', (_name, layers) => {
  it('says in any history what it says alone', async () => {
    const arrival = fc.record({
      family: fc.nat({ max: 2 }),
      length: fc.integer({ min: 1, max: 30 }),
      maxTokens: fc.integer({ min: 1, max: 6 }),
      siblings: fc.integer({ min: 1, max: 2 }),
      steps: fc.nat({ max: 4 }),
    });
    const alone = build({ ...SIZES, ...layers });
    const texts = new Map<string, Promise<number[]>>();
    const textOf = (family: number, length: number, maxTokens: number): Promise<number[]> => {
      const key = `${family} ${length} ${maxTokens}`;
      const known = texts.get(key);
      if (known) return known;
      const prompt = promptOf(family, length);
      const text = hybridText(alone, { ...SIZES, ...layers }, prompt, maxTokens);
      texts.set(key, text);
      return text;
    };
    let numHits = 0;
    let numPreemptions = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(arrival, { minLength: 2, maxLength: 8 }),
        fc.nat({ max: 15 }),
        fc.constantFrom(0, 3),
        async (arrivals, spare, mostProposed) => {
          const groups = withCheckpoints(alone);
          // As few as one sequence needs, and some more.
          const needed = groups.reduce((n, g) => n + maxHeldBlocks(g, 40, 16, SIZES.blockSize), 0);
          const numBlocks = needed + spare;
          const model = build({ ...SIZES, ...layers, numBlocks });
          const h = new CoreHarness({
            numBlocks,
            groups,
            runner: model,
            vocabSize: VOCAB,
            blockSize: SIZES.blockSize,
            maxModelLength: 40,
            maxNumBatchedTokens: 16,
            propose: (id, room) =>
              range(id.length + (h.texts.get(id)?.length ?? 0), Math.min(room, mostProposed)).map(
                (n) => (n % VOCAB) as never,
              ),
          });
          for (const [i, { family, length, maxTokens, siblings, steps }] of arrivals.entries()) {
            const ids = range(0, siblings).map((k) => `${i}.${k}`);
            h.add(ids, promptOf(family, length), maxTokens);
            for (let s = 0; s < steps; s++) await h.step();
          }
          await h.runToEnd();
          for (const [i, { family, length, maxTokens, siblings }] of arrivals.entries()) {
            const text = await textOf(family, length, maxTokens);
            for (const k of range(0, siblings)) expect(h.texts.get(`${i}.${k}`)).toEqual(text);
          }
          numHits += [...h.first.values()].filter(({ cachedTokens }) => cachedTokens > 0).length;
          numPreemptions += h.scheduler.numPreemptions;
          expect(h.cache.pool.numUsed).toBe(0);
        },
      ),
      { numRuns: 25, seed: 20261130 },
    );
    expect(numHits).toBeGreaterThan(3);
    expect(numPreemptions).toBeGreaterThan(3);
  });

  it.each(KV_DTYPES)('keeps states over pages of the kernel: %s', async (kvDtype) => {
    // Small pages cut a checkpoint into more groups, which take more blocks.
    const config = { ...SIZES, ...layers, kvDtype, numBlocks: 400 };
    const model = build(config, kernel);
    const alone = build(config, kernel);
    const groups = withCheckpoints(model);
    const h = new CoreHarness({
      numBlocks: config.numBlocks,
      groups,
      runner: model,
      vocabSize: VOCAB,
      maxModelLength: 60,
      maxNumBatchedTokens: 16,
    });
    const prompt = promptOf(1, 23);
    h.add(['a', 'b'], prompt, 9);
    await h.runToEnd();
    h.add('c', prompt, 9);
    await h.runToEnd();
    expect(h.first.get('c')?.cachedTokens).toBe(20);
    const text = await hybridText(alone, config, prompt, 9);
    for (const id of ['a', 'b', 'c']) expect(h.texts.get(id)).toEqual(text);
    await model.dispose();
    await alone.dispose();
  });
});

/** Checkpoints at every block instead of every 128 tokens, so that short prompts hit them. */
const withCheckpoints = ({ plan }: HybridModel): CacheGroup[] =>
  plan.groups.map((group) =>
    group.kind === 'recurrent' ? { ...group, checkpointBlocks: 1 } : group,
  );

/** All prompts of a family are beginnings of one another. */
function promptOf(family: number, length: number): number[] {
  return range(0, length).map((i) => (i * 7 + family * 3) % VOCAB);
}
