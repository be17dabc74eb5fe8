import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PLAIN_REQUEST } from '../engine/protocol/request.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import { loadServedModel } from '../engine/text/served-model.js';
import { type LoadedEngine, loadEngine } from '../engine/thread/load-engine.js';
import type { SequenceId } from '../scheduler/ids.js';
import { BENCH_OPTIONS, BLOCK_SIZE } from './lib/bench-engine.js';
import { type Cell, median, publish } from './lib/report.js';
import { type Dataset, drawLengths } from './paging/requests.js';

// Memory that beams share (Kwon et al. 2023, section 6.3, figure 15b), and what a beam costs beside
// a sampled sequence: the embedded model, whose beams part and are dropped as those of any trained
// model.

const SEED = 1;
const DATASETS: readonly Dataset[] = ['alpaca', 'sharegpt'];
const WIDTHS = [2, 4, 6];
const REQUESTS = Number(process.argv[2] ?? 40);
const CONTEXT = 2048;

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const { stories } = JSON.parse(
  readFileSync(path('./fixtures/octavo-tiny-quality.json'), 'utf8'),
) as { readonly stories: readonly string[] };
const modelDir = path('../models/octavo-tiny');
const { tokenizer } = await loadServedModel(modelDir, []);
const told = tokenizer.encode(stories.join('\n\n'), { addSpecialTokens: false });

interface Run {
  /** Share of the blocks that all beams name which they do not need, because they share them. */
  readonly saved: number;
  /** Median over steps, milliseconds for each sequence of the step. */
  readonly msPerSequence: number;
}

/** @param width 1 samples greedily, without beams */
async function run(engine: LoadedEngine, dataset: Dataset, width: number): Promise<Run> {
  const { core, scheduler, cache } = engine;
  let [held, named] = [0, 0];
  const costs: number[] = [];
  for (const [i, { prompt, output }] of drawLengths(dataset, REQUESTS, SEED).entries()) {
    const from = (i * 997) % (told.length - CONTEXT);
    const maxTokens = Math.min(output, CONTEXT - prompt);
    core.add({
      ids: [`${dataset}-${width}-${i}` as SequenceId],
      promptTokenIds: told.slice(from, from + prompt),
      maxTokens,
      stopTokenIds: [],
      sampling: GREEDY,
      ...PLAIN_REQUEST,
      ...(width > 1 && { beams: { width, lengthPenalty: 1, earlyStopping: false } }),
    });
    while (core.hasWork) {
      await core.step();
      const running = scheduler.progress(0);
      held += cache.pool.numUsed;
      for (const { blocks } of running) named += blocks.length;
      if (running.length === width) costs.push(core.timings.total / width);
    }
  }
  return { saved: 1 - held / named, msPerSequence: median(costs) };
}

const engine = await loadEngine({
  ...BENCH_OPTIONS,
  modelDir,
  maxNumSeqs: 16,
  kvCacheBytes: 256 * 2 ** 20,
  kvDtype: 'f32',
  maxModelLength: CONTEXT,
  enablePrefixCaching: true,
});
const rows: Cell[][] = [];
for (const dataset of DATASETS) {
  const alone = await run(engine, dataset, 1);
  for (const width of WIDTHS) {
    process.stderr.write(`${dataset}, ${width} beams\n`);
    const { saved, msPerSequence } = await run(engine, dataset, width);
    rows.push([dataset, width, 100 * saved, msPerSequence, alone.msPerSequence]);
  }
}
await engine.runner.dispose();
publish({
  name: 'beams',
  command: 'npm run bench:beams',
  about: `Beam search with the embedded model: ${REQUESTS} requests, one after the other, with lengths like those of each data set; blocks of ${BLOCK_SIZE} tokens. Saved: of the blocks that all beams name, summed over steps, those that they need not hold because they share them.`,
  tables: [
    {
      title: 'By the number of beams',
      columns: ['lengths', 'beams', 'blocks saved, %', 'ms a beam and step', 'ms a greedy step'],
      rows,
    },
  ],
});
