import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { EngineCore } from '../../engine/core/engine-core.js';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import type { EngineOptions } from '../../engine/protocol/options.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import { Speculator } from '../../engine/speculation/speculator.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import { checkpointDir } from '../support/checkpoint-fixtures.js';
import { CHEAP, FREE } from '../support/draft-models.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest } from '../support/octavo-tiny.js';

const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-draft-model-'));
afterAll(() => rmSync(cacheDir, { recursive: true }));

const OWN = {
  method: 'draft_model',
  maxDraftTokens: 6,
  model: { dir: embeddedModelDir() },
} as const;
const W8A8 = { quantize: { kind: 'w8a8', nbits: false, cacheDir } } as const;
const WARM = { ...GREEDY, temperature: 0.9, topP: 0.95, seed: 7, frequencyPenalty: 0.3 };
/** They load two models each, on a machine that may be busy. */
const PROMPTS = goldenPrompts().filter((prompt, i) => i % 6 === 0 && prompt.length < 500);

async function withEngine(
  options: Partial<EngineOptions>,
  use: (engine: LoadedEngine) => Promise<void>,
): Promise<void> {
  const engine = await loadTiny({ ...options, speculation: OWN });
  try {
    await use(engine);
    engine.core.checkIntegrity();
  } finally {
    await engine.runner.dispose();
    await engine.draftModel?.runner.dispose();
  }
}

/** Cores over one model: without drafts, and with all that its draft model can say. */
function cores({ scheduler, runner, cache, info: { vocabSize }, draftModel }: LoadedEngine) {
  if (!draftModel) throw new Error('there is no draft model');
  const proposer = new Speculator({
    drafter: null,
    computing: { ...draftModel, costs: CHEAP },
    maxDraftTokens: 6,
    costs: FREE,
    now: () => 0,
  });
  const all = { scheduler, runner, vocabSize, cache, now: () => 0 };
  return { proposer, plain: new EngineCore(all), drafted: new EngineCore({ ...all, proposer }) };
}

const requests = () =>
  PROMPTS.flatMap((prompt, i) => [
    tinyRequest(`greedy-${i}`, prompt, { maxTokens: 24, logprobs: 2 }),
    tinyRequest([`a-${i}`, `b-${i}`], prompt, { maxTokens: 24, sampling: WARM, logprobs: 1 }),
  ]);

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

it('a model that drafts for itself is right: W8A8 to the bit, log-probabilities included', async () => {
  await withEngine({ ...W8A8, kvDtype: 'int8' }, async (engine) => {
    const { plain, drafted, proposer } = cores(engine);
    const outcome = async (core: EngineCore) =>
      [...(await runAll({ core }, requests()))].map(([id, outputs]) => [
        id,
        outputs.flatMap(({ tokenIds }) => tokenIds),
        outputs.flatMap(({ logprobs = [] }) => logprobs),
      ]);
    expect(await outcome(drafted)).toEqual(await outcome(plain));
    const { draftTokens, acceptedAt } = proposer.stats;
    expect(sum(acceptedAt)).toBe(draftTokens);
    expect(draftTokens).toBeGreaterThan(300);
    expect(drafted.stats.steps).toBeLessThan(plain.stats.steps / 2);
  });
});

it('float32 gives the same texts, though the last bits may differ by the rows of a step', async () => {
  // Prompts in many pieces, and so few blocks that sequences are preempted.
  const small = { maxNumBatchedTokens: 48, kvCacheBytes: 4 * 2 ** 20, maxModelLength: 640 };
  await withEngine(small, async (engine) => {
    const { plain, drafted, proposer } = cores(engine);
    const expected = await runAll({ core: plain }, requests());
    const actual = await runAll({ core: drafted }, requests());
    for (const [id, outputs] of expected) {
      const own = actual.get(id) ?? [];
      expect(own.flatMap(({ tokenIds }) => tokenIds)).toEqual(outputs.flatMap((o) => o.tokenIds));
      const [got, wanted] = [own, outputs].map((all) => all.flatMap((o) => o.logprobs ?? []));
      for (const [i, { logprob }] of (wanted ?? []).entries()) {
        expect(got?.[i]?.logprob).toBeCloseTo(logprob, 3);
      }
    }
    expect(engine.scheduler.numPreemptions).toBeGreaterThan(0);
    const { draftTokens, acceptedAt } = proposer.stats;
    expect(sum(acceptedAt)).toBeGreaterThan(0.98 * draftTokens);
    expect(draftTokens).toBeGreaterThan(100);
  });
});

it('shares --kv-cache-memory', async () => {
  const alone = await loadTiny();
  await alone.runner.dispose();
  await withEngine({}, async (engine) => {
    // The same model twice: half of the blocks each.
    expect(engine.info.numBlocks).toBe(Math.floor(alone.info.numBlocks / 2));
    expect(engine.info.modelNotes?.at(-1)).toMatch(
      /^drafts come from .*octavo-tiny: onnx\/model\.onnx/,
    );
  });
});

it('refuses what cannot draft', async () => {
  const refusal = (options: Partial<EngineOptions>) => loadTiny({ speculation: OWN, ...options });
  await expect(refusal({ device: 'webgpu', blockSize: 32 })).rejects.toThrow(
    '--speculative-config: a draft model is computed by the CPU only: leave out --device',
  );
  const model = { dir: checkpointDir('lfm2') };
  await expect(refusal({ speculation: { ...OWN, model } })).rejects.toThrow(
    /--speculative-config: .*lfm2 has layers with a state, which a draft model must not have/,
  );
  await expect(refusal({ kvCacheBytes: 2 * 2 ** 20 })).rejects.toMatchObject({
    kind: 'kv_pool_too_small',
  });
});
