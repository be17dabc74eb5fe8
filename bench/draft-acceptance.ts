import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EngineCore } from '../engine/core/engine-core.js';
import type { PredictedTokens } from '../engine/protocol/outputs.js';
import { PLAIN_REQUEST } from '../engine/protocol/request.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import { Speculator } from '../engine/speculation/speculator.js';
import { StepCosts } from '../engine/speculation/step-costs.js';
import type { TemplateMessage } from '../engine/text/chat-template.js';
import { loadServedModel } from '../engine/text/served-model.js';
import { type LoadedEngine, loadEngine } from '../engine/thread/load-engine.js';
import type { SequenceId, TokenId } from '../scheduler/ids.js';
import { BENCH_OPTIONS } from './lib/bench-engine.js';
import { type Cell, publish } from './lib/report.js';

// How often drafts of the embedded model's trained layers are right, by their place in the draft:
// one layer for all places, and a specialist for each. The questions are those of bench:quality.

const LAYERS = ['octavo-tiny-eagle', 'octavo-tiny-poss'] as const;
const TEMPERATURES = [0, 1];
const DRAFTED = 6;
const QUESTIONS = 200;
const SEQUENCES = 16;

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const { samples } = JSON.parse(
  readFileSync(path('./fixtures/octavo-tiny-quality.json'), 'utf8'),
) as {
  readonly samples: readonly {
    readonly messages: readonly TemplateMessage[];
    readonly tools?: readonly object[];
  }[];
};
const modelDir = path('../models/octavo-tiny');
const { tokenizer, chatTemplate, eosTokenIds } = await loadServedModel(modelDir, []);
const apart = Math.max(1, Math.floor(samples.length / QUESTIONS));
const prompts: TokenId[][] = samples
  .filter((_, i) => i % apart === 0)
  .slice(0, QUESTIONS)
  .map(({ messages, tools = null }) =>
    tokenizer.encode(chatTemplate?.render(messages, { tools }) ?? '', { addSpecialTokens: false }),
  );

/** Nothing costs anything, so that every draft has its full length. */
const free = (ms: number): StepCosts =>
  new StepCosts([
    { rows: 1, ms },
    { rows: 1000, ms },
  ]);

/** Counts what a text says of each drafted token, as far as the text goes. */
class CountingSpeculator extends Speculator {
  /** By places: drafted tokens where all before were right, and those that were right, too. */
  readonly tried = Array.from({ length: DRAFTED }, () => 0);
  readonly right = Array.from({ length: DRAFTED }, () => 0);
  drafts = 0;
  decidedTokens = 0;

  override decided(
    id: SequenceId,
    proposals: readonly TokenId[],
    tokenIds: readonly TokenId[],
  ): PredictedTokens | null {
    if (proposals.length > 0) {
      this.drafts += 1;
      this.decidedTokens += tokenIds.length;
    }
    for (const [at, token] of proposals.slice(0, tokenIds.length).entries()) {
      this.tried[at] += 1;
      if (token === tokenIds[at]) this.right[at] += 1;
    }
    return super.decided(id, proposals, tokenIds);
  }
}

interface Run {
  readonly texts: readonly (readonly TokenId[])[];
  readonly counts: CountingSpeculator;
}

async function run(engine: LoadedEngine, temperature: number, isDrafted: boolean): Promise<Run> {
  const { scheduler, runner, cache, info, draftLayers } = engine;
  if (!draftLayers) throw new Error('the engine has no layers that draft');
  const computing = { drafter: draftLayers.drafter, costs: free(1e-3) };
  const common = { maxDraftTokens: DRAFTED, costs: free(1), now: () => 0 };
  const options = { ...common, drafter: null, ...(isDrafted && { computing }) };
  const counts = new CountingSpeculator(options);
  const own = { scheduler, runner, vocabSize: info.vocabSize, cache };
  const core = new EngineCore({ ...own, now: () => 0, proposer: counts });
  const texts = new Map<SequenceId, TokenId[]>();
  for (const [i, promptTokenIds] of prompts.entries()) {
    const id = `q${i}` as SequenceId;
    texts.set(id, []);
    core.add({
      ...PLAIN_REQUEST,
      ids: [id],
      promptTokenIds,
      maxTokens: 64,
      stopTokenIds: eosTokenIds,
      sampling: { ...GREEDY, temperature, seed: i },
    });
  }
  while (core.hasWork) {
    for (const { id, tokenIds } of (await core.step()) ?? []) texts.get(id)?.push(...tokenIds);
  }
  return { texts: [...texts.values()], counts };
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? '' : `${((100 * part) / whole).toFixed(1)} %`;

const rows: Cell[][] = [];
let different = 0;
for (const layers of LAYERS) {
  const engine = await loadEngine({
    ...BENCH_OPTIONS,
    modelDir,
    maxNumSeqs: SEQUENCES,
    kvCacheBytes: 64 * 2 ** 20,
    maxModelLength: null,
    enablePrefixCaching: true,
    speculation: {
      method: 'eagle',
      maxDraftTokens: DRAFTED,
      model: { dir: path(`../models/${layers}`) },
    },
  });
  for (const temperature of TEMPERATURES) {
    const plain = await run(engine, temperature, false);
    const drafted = await run(engine, temperature, true);
    different += plain.texts.filter((text, i) => text.join() !== drafted.texts[i]?.join()).length;
    const { tried, right, drafts, decidedTokens } = drafted.counts;
    rows.push([
      layers,
      temperature,
      ...right.map((count, at) => percent(count, tried[at])),
      decidedTokens / drafts,
    ]);
  }
  await engine.runner.dispose();
  await engine.draftLayers?.dispose();
}

publish({
  name: 'speculation-octavo-tiny',
  command: 'npm run bench:speculation -- octavo-tiny',
  about:
    `Drafts of ${DRAFTED} tokens by layers on octavo-tiny's hidden rows, after ${prompts.length} questions of bench:quality: how often a place is right ` +
    'where all before it are, as far as the texts go, and how many tokens a draft decides with the one that the model adds. ' +
    `Texts that differ from those without drafts: ${different}.`,
  tables: [
    {
      title: 'Acceptance by position',
      columns: [
        'layers',
        'temperature',
        ...Array.from({ length: DRAFTED }, (_, i) => `place ${i + 1}`),
        'tokens a draft',
      ],
      rows,
    },
  ],
});
