import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  BENCH_QUANTIZATIONS,
  type BenchQuantization,
  benchModelFromArgv,
  commandLine,
  FORMS,
  type ModelForm,
} from './lib/bench-engine.js';
import { type Cell, median, publish } from './lib/report.js';

// Decode steps of the engine's own graphs against those of the same shape as exporters write it, in
// processes of their own that take turns.

const ROUNDS = 5;
const BATCHES = [1, 8];
const SCRIPT = fileURLToPath(new URL('./lib/form-process.ts', import.meta.url));

const model = benchModelFromArgv();

/** Milliseconds by batch. */
function run(form: ModelForm, quantize: BenchQuantization): number[] {
  const args = ['--import', 'tsx', SCRIPT, JSON.stringify({ ...model, form, quantize })];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as number[];
}

function compare(quantize: BenchQuantization): Cell[][] {
  const times = Object.fromEntries(FORMS.map((form) => [form, [] as number[][]])) as Record<
    ModelForm,
    number[][]
  >;
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? FORMS : FORMS.toReversed();
    for (const form of order) times[form].push(run(form, quantize));
  }
  return BATCHES.map((batch, i) => {
    const [built, exported] = FORMS.map((form) => times[form].map((row) => row[i]));
    const ratios = built.map((ms, round) => exported[round] / ms);
    return [quantize, batch, median(exported), median(built), median(ratios)];
  });
}

publish({
  name: `forms-${model.shape}`,
  command: commandLine('bench:forms'),
  about:
    `A decode step of the engine's own graph and of one as exporters write it, milliseconds: random weights in the shape of ${model.shape}. ` +
    `${ROUNDS} processes each, in turn; the ratio is the median of those of one round, and above 1 where the built graph is faster.`,
  tables: [
    {
      title: 'Decode steps, contexts of 64 to 144 tokens',
      columns: ['weights', 'batch', 'export', 'built', 'ratio'],
      rows: BENCH_QUANTIZATIONS.flatMap(compare),
    },
  ],
});
