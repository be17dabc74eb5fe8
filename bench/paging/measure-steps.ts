import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import { type BenchModel, benchRequest } from '../lib/bench-engine.js';
import { median } from '../lib/report.js';
import type { StepSample } from '../simulation/step-times.js';

/** Sequences that decode together, and their contexts. */
const DECODES = [
  [1, 128],
  [1, 1024],
  [2, 256],
  [4, 256],
  [8, 256],
  [16, 256],
  [32, 256],
  [32, 64],
  [48, 64],
] as const;
const PROMPTS = [96, 192, 384, 512];
const STEPS = 32;
const ROUNDS = 5;
const WARM_UP_MS = 15_000;

/** Measures steps of an engine, of which no other work takes the time. */
export async function measureSteps(engine: LoadedEngine, model: BenchModel): Promise<StepSample[]> {
  const samples: StepSample[] = [];
  // What V8 compiles and what is mapped at first takes its time from none of the samples.
  const end = performance.now() + WARM_UP_MS;
  while (performance.now() < end) await decode(engine, model, 4, 256);
  for (const [batch, context] of DECODES) samples.push(await decode(engine, model, batch, context));
  for (const length of PROMPTS) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      engine.core.add(benchRequest(model, length, 1));
      await engine.core.step();
      times.push(engine.core.timings.total);
    }
    samples.push({ tokens: length, reads: (length * (length + 1)) / 2, ms: median(times) });
  }
  return samples;
}

async function decode(
  { core }: LoadedEngine,
  model: BenchModel,
  batch: number,
  context: number,
): Promise<StepSample> {
  // Enough for the first to be still at work when the last has its first token.
  const wait = batch * Math.ceil(context / 512) + batch;
  for (let i = 0; i < batch; i++) core.add(benchRequest(model, context, wait + STEPS));
  const times: number[] = [];
  while (core.hasWork && times.length < STEPS) {
    const outputs = (await core.step()) ?? [];
    const isDecode = outputs.length === batch && core.report?.numTokens === batch;
    if (isDecode) times.push(core.timings.total);
  }
  core.resetPrefixCache();
  for (const { ids } of core.snapshot().requests) for (const id of ids) core.abort(id);
  // Sequences have got half of these tokens by then, and a few before.
  const read = context + STEPS / 2 + wait / 2;
  return { tokens: batch, reads: batch * read, ms: median(times) };
}
