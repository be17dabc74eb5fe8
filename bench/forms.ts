import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ACTIVATIONS } from '../engine/importer/quantize/quantization.js';
import {
  BENCH_QUANTIZATIONS,
  type BenchQuantization,
  benchModel,
  type ComparedForm,
  FORMS,
  oneOf,
} from './lib/bench-engine.js';
import type { StepTime } from './lib/form-process.js';
import { type Cell, commandLine, median, publish } from './lib/report.js';
import { SHAPES, type ShapeName } from './models/shapes.js';

// Decode steps of the engine's own graphs against those of the same shape as exporters write it, in
// processes of their own that take turns:
//
//     npm run bench:forms -- [shape] [--quantize none|w8a8|q8|q4] [--activations int8|exact]
//         [--rounds 3]
//
// Both models are made on first use, 4 bytes a weight, and their rewritten forms are kept in the
// model cache; a process of a form takes about as long as its start, and some seconds.

const BATCHES = [1, 8];
const SCRIPT = fileURLToPath(new URL('./lib/form-process.ts', import.meta.url));

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quantize: { type: 'string' },
    activations: { type: 'string', default: 'int8' },
    rounds: { type: 'string', default: '3' },
  },
});
const shape = oneOf('shape', positionals[0] ?? 'qwen2.5-0.5b', Object.keys(SHAPES) as ShapeName[]);
const kinds =
  flags.quantize === undefined
    ? BENCH_QUANTIZATIONS
    : [oneOf('--quantize', flags.quantize, BENCH_QUANTIZATIONS)];
const activations = oneOf('--activations', flags.activations, ACTIVATIONS);
const rounds = Number(flags.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  throw new Error(`--rounds ${flags.rounds}: must be a whole number from 1`);
}
const processes = kinds.length * rounds * FORMS.length;
let begun = 0;

/** By batch. */
function run(form: ComparedForm, quantize: BenchQuantization): StepTime[] {
  begun += 1;
  process.stderr.write(`${begun} of ${processes}: ${form}, ${quantize}\n`);
  const chosen = { shape, form, dtype: 'fp32', quantize, activations, kvDtype: 'f32' };
  const args = ['--import', 'tsx', SCRIPT, JSON.stringify(chosen)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as StepTime[];
}

function compare(quantize: BenchQuantization): Cell[][] {
  const times: Readonly<Record<ComparedForm, StepTime[][]>> = { built: [], export: [] };
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? FORMS : FORMS.toReversed();
    for (const form of order) times[form].push(run(form, quantize));
  }
  return BATCHES.map((batch, i) => {
    const of = (form: ComparedForm, part: keyof StepTime): number[] =>
      times[form].map((row) => row[i][part]);
    const ratios = (part: keyof StepTime): number => {
      const built = of('built', part);
      return median(of('export', part).map((ms, round) => ms / built[round]));
    };
    const [exported, built] = [of('export', 'wall'), of('built', 'wall')].map(median);
    return [quantize, batch, exported, built, ratios('wall'), ratios('processor')];
  });
}

process.stderr.write(`making the models of ${shape}, if they are not there\n`);
for (const form of FORMS) {
  benchModel({ shape, form, dtype: 'fp32', quantize: 'none', activations, kvDtype: 'f32' });
}
publish({
  name: [
    'forms',
    shape,
    ...(kinds.length === 1 ? kinds : []),
    ...(activations === 'exact' ? ['exact'] : []),
  ].join('-'),
  command: commandLine('bench:forms'),
  about:
    `A decode step of the engine's own graph and of one as exporters write it, milliseconds: random weights in the shape of ${shape}, ${activations} activations beside weights in blocks. ` +
    `Processes in turn, ${rounds} of each; the ratios are medians of those of one round, and above 1 where the built graph is faster.`,
  tables: [
    {
      title: 'Decode steps, contexts of 64 to 144 tokens',
      columns: ['weights', 'batch', 'export', 'built', 'ratio', 'ratio of processor time'],
      rows: kinds.flatMap(compare),
    },
  ],
});
