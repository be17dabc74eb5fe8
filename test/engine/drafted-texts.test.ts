import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { KV_DTYPES } from '../../engine/attention/paged-attention.js';
import { EngineCore } from '../../engine/core/engine-core.js';
import type { EngineOptions } from '../../engine/protocol/options.js';
import type { EngineRequest } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import { NgramDrafter, SuffixDrafter } from '../../engine/speculation/lookup-drafters.js';
import { OutputArchive } from '../../engine/speculation/output-archive.js';
import { Speculator } from '../../engine/speculation/speculator.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { TokenId } from '../../scheduler/ids.js';
import { blurredTiny, CHEAP, FREE } from '../support/draft-models.js';
import { goldenPrompts, loadTiny, runAll, tinyRequest, tokensOf } from '../support/octavo-tiny.js';

const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-drafted-'));
/** A draft model that says nearly the same. */
const blurred = blurredTiny(0.1);
afterAll(() => {
  rmSync(cacheDir, { recursive: true });
  blurred.remove();
});

/** Of all lengths, each kind of prompt among them. */
const PROMPTS = goldenPrompts().filter((prompt, i) => i % 5 === 0 && prompt.length < 700);
const MAX_TOKENS = 32;
const WARM = { ...GREEDY, temperature: 0.9, topP: 0.95, seed: 7, frequencyPenalty: 0.3 };

/** A core over the same model and pages, which drafts by one of the methods. */
function drafting(engine: LoadedEngine, method: 'ngram' | 'suffix' | 'prediction' | 'draft_model') {
  const bounds = { least: 1, longest: 8 };
  const drafter = {
    ngram: () => new NgramDrafter(bounds),
    suffix: () => new SuffixDrafter(bounds, new OutputArchive(1, 100_000)),
    prediction: () => null,
    draft_model: () => null,
  }[method]();
  const { draftModel } = engine;
  const computing = method === 'draft_model' && draftModel && { ...draftModel, costs: CHEAP };
  const proposer = new Speculator({
    drafter,
    ...(computing && { computing }),
    maxDraftTokens: 8,
    costs: FREE,
    now: () => 0,
  });
  const { scheduler, runner, cache, info } = engine;
  const { vocabSize } = info;
  return new EngineCore({ scheduler, runner, vocabSize, cache, proposer, now: () => 0 });
}

/** The same without any draft. */
function plain({ scheduler, runner, cache, info: { vocabSize } }: LoadedEngine): EngineCore {
  return new EngineCore({ scheduler, runner, vocabSize, cache, now: () => 0 });
}

async function texts(
  core: EngineCore,
  sampling: typeof GREEDY,
  predictions: readonly (readonly TokenId[])[] = [],
  more: Partial<EngineRequest> = {},
): Promise<TokenId[][]> {
  const requests = PROMPTS.map((prompt, i) =>
    tinyRequest(`text-${i}`, prompt, {
      maxTokens: MAX_TOKENS,
      sampling,
      ...more,
      ...(predictions.length > 0 && { prediction: predictions[i] }),
    }),
  );
  const outputs = await runAll({ core }, requests);
  return requests.map(({ ids }) => tokensOf(outputs.get(ids[0])));
}

const FORMATS: readonly [string, Partial<EngineOptions>][] = [
  ...KV_DTYPES.map((kvDtype): [string, Partial<EngineOptions>] => [kvDtype, { kvDtype }]),
  ['w8a8, int16', { kvDtype: 'int16', quantize: { kind: 'w8a8', nbits: false, cacheDir } }],
];

it.each(FORMATS)('drafts change no text: %s', async (_, options) => {
  const model = { dir: blurred.dir };
  const drafts = { method: 'draft_model', maxDraftTokens: 8, model } as const;
  const engine = await loadTiny({ ...options, speculation: drafts });
  try {
    const core = plain(engine);
    for (const sampling of [GREEDY, WARM]) {
      const expected = await texts(core, sampling);
      for (const method of ['ngram', 'suffix', 'draft_model'] as const) {
        const drafted = drafting(engine, method);
        expect(await texts(drafted, sampling)).toEqual(expected);
        expect(drafted.stats.speculation?.acceptedAt[0]).toBeGreaterThan(0);
      }
      // The clients know most of the texts, and are wrong in the middle.
      const predictions = expected.map((text) =>
        text.map((id, i) => (i === 20 ? 5 : id) as TokenId),
      );
      const drafted = drafting(engine, 'prediction');
      expect(await texts(drafted, sampling, predictions)).toEqual(expected);
      const { steps, speculation } = drafted.stats;
      expect(steps).toBeLessThan(MAX_TOKENS);
      expect(speculation?.acceptedAt[7]).toBeGreaterThan(0);
    }
    engine.scheduler.checkIntegrity();
    engine.draftModel?.drafter.checkIntegrity();
  } finally {
    await engine.runner.dispose();
    await engine.draftModel?.runner.dispose();
  }
});

it('thinking ends at the same token with drafts', async () => {
  const [open, close, closing] = [[1], [7, 8], [5, 7, 8]] as TokenId[][];
  const thinking = { budget: 10, open, close, closing, isOpen: true };
  const engine = await loadTiny();
  try {
    const unlimited = await texts(engine.core, WARM);
    const expected = await texts(engine.core, WARM, [], { thinking, logprobs: 1 });
    for (const [i, text] of expected.entries()) {
      expect(text.slice(0, 10)).toEqual(unlimited[i]?.slice(0, 10));
      expect(text.slice(10, 13)).toEqual(closing);
    }
    const drafted = drafting(engine, 'prediction');
    // Drafts of what would have come without a budget: wrong from where it is spent.
    expect(await texts(drafted, WARM, unlimited, { thinking })).toEqual(expected);
    expect(drafted.stats.speculation?.acceptedAt[0]).toBeGreaterThan(0);
  } finally {
    await engine.runner.dispose();
  }
});
