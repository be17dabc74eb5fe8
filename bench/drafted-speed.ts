import { EngineCore } from '../engine/core/engine-core.js';
import { uniform } from '../engine/sampling/random.js';
import { createSpeculator } from '../engine/speculation/create-speculator.js';
import { measureSteps } from '../engine/thread/warm-up.js';
import type { SequenceId, TokenId } from '../scheduler/ids.js';
import {
  benchModel,
  benchModelFromArgv,
  benchRequest,
  loadBenchEngine,
  secondShapeFromArgv,
} from './lib/bench-engine.js';
import { DraftTexts } from './lib/draft-texts.js';
import { type Cell, commandLine, median, publish } from './lib/report.js';

// Decoding with drafts against decoding without, by batch size and by how often drafts are right.
// Drafts are the text itself, which was recorded before, with wrong tokens at random places: so the
// acceptance rate is chosen, whatever the weights say. They are predictions, which cost nothing, or
// with a second shape those of a draft model, whose runs take their time.

const CONTEXT = 512;
const TOKENS = 64;
/** Rates at which a drafted token is right. */
const RATES = [0, 0.3, 0.6, 0.8, 0.9, 1];
const BATCHES = [1, 2, 4, 8, 16, 32];
const ROUNDS = 3;

const model = benchModelFromArgv();
const draftShape = secondShapeFromArgv();
const draftDir = draftShape && benchModel({ ...model, shape: draftShape }).directory;
const engine = await loadBenchEngine(model, {
  ...(draftDir !== null && {
    speculation: { method: 'draft_model', maxDraftTokens: 8, model: { dir: draftDir } },
  }),
});
const { info, scheduler, runner, cache, draftModel } = engine;
const draftTexts = draftModel && new DraftTexts(draftModel.runner, CONTEXT);
const now = (): number => performance.now();
const measured = await measureSteps(
  runner,
  { tokens: 512, sequences: 64, maxModelLength: 4096, blockSize: 16, numGroups: 1 },
  now,
);

/** A core over the engine's model, which drafts what requests predict, or a model says. */
function newCore(isDrafted: boolean): EngineCore {
  const method = isDrafted && draftModel ? { maxDraftTokens: 8, computing: draftModel } : null;
  const proposer = createSpeculator(method, measured, now);
  return new EngineCore({ scheduler, runner, vocabSize: info.vocabSize, cache, now, proposer });
}

interface Run {
  readonly texts: readonly (readonly TokenId[])[];
  /** Of the steps behind the prompts, per token of the batch. */
  readonly ms: number;
  readonly accepted: number;
  readonly drafted: number;
}

/** Decodes a batch whose prompts are all in the prefix cache but for their last tokens. */
async function run(batch: number, predictions: readonly (readonly TokenId[])[] = []): Promise<Run> {
  const isDrafted = predictions.length > 0;
  const core = newCore(isDrafted);
  if (isDrafted) draftTexts?.set(predictions);
  const texts: TokenId[][] = [];
  const index = new Map<SequenceId, number>();
  for (let i = 0; i < batch; i++) {
    const request = benchRequest(model, CONTEXT, TOKENS, i);
    index.set(request.ids[0], i);
    texts.push([]);
    const prediction = draftTexts ? undefined : predictions[i];
    core.add({ ...request, ...(prediction && { prediction }) });
  }
  let ms = 0;
  while (core.hasWork) {
    const outputs = (await core.step()) ?? [];
    if (texts.every((text) => text.length > 0)) ms += core.timings.total;
    for (const { id, tokenIds } of outputs) texts[index.get(id) ?? 0]?.push(...tokenIds);
  }
  const { draftTokens = 0, acceptedAt = [] } = core.stats.speculation ?? {};
  return { texts, ms, drafted: draftTokens, accepted: acceptedAt.reduce((a, b) => a + b, 0) };
}

/** The texts with wrong tokens at the other places. */
const corrupted = (texts: Run['texts'], rate: number): TokenId[][] =>
  texts.map((text, i) =>
    text.map((id, at) => (uniform(i, at) < rate ? id : (((id + 1) % info.vocabSize) as TokenId))),
  );

async function compare(batch: number): Promise<Cell[][]> {
  await run(batch);
  const ratios = RATES.map((): number[] => []);
  const shares = RATES.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, rate] of RATES.entries()) {
      // In turn, because the machine's speed changes.
      const plain = await run(batch);
      const drafted = await run(batch, corrupted(plain.texts, rate));
      if (JSON.stringify(drafted.texts) !== JSON.stringify(plain.texts)) different += 1;
      ratios[i]?.push(plain.ms / drafted.ms);
      shares[i]?.push(drafted.drafted === 0 ? 0 : drafted.accepted / drafted.drafted);
    }
  }
  return [
    [batch, ...ratios.map((all) => median(all))],
    [`${batch}: accepted of computed drafts`, ...shares.map((all) => median(all))],
  ];
}

let different = 0;
const rows: Cell[][] = [];
for (const batch of BATCHES) rows.push(...(await compare(batch)));
await runner.dispose();
await draftModel?.runner.dispose();

publish({
  name: ['speculation', model.shape, draftShape ?? [], ...model.variant].flat().join('-'),
  command: commandLine('bench:speculation'),
  about:
    `Decoding with drafts${draftShape ? ` of a model in the shape of ${draftShape}` : ''}, as times ` +
    `the speed without: ${model.description}, contexts of ` +
    `${CONTEXT} tokens, ${TOKENS} tokens each, medians of ${ROUNDS} rounds in turn. ` +
    `Texts that differ from those without drafts: ${different} of ${BATCHES.length * RATES.length * ROUNDS} runs.`,
  tables: [
    {
      title: 'Speed with drafts, by batch and by the share of drafted tokens that are right',
      columns: ['batch', ...RATES.map((rate) => `${100 * rate} %`)],
      rows,
    },
    {
      title: 'What a step costs by its rows, as it was measured at the start, in milliseconds',
      columns: measured.map(({ rows: count }) => String(count)),
      rows: [measured.map(({ ms }) => ms)],
    },
  ],
});
