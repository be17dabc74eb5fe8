import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type LoadedEngine, loadEngine } from '../engine/core/load-engine.js';
import { type EngineRequest, PLAIN_REQUEST, type StepTimings } from '../engine/core/protocol.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import type { RequestId, TokenId } from '../scheduler/ids.js';
import { modelCacheDir } from '../server/config/model-cache-dir.js';
import { type Cell, median, publish, type Report } from './lib/report.js';
import { ensureModel } from './models/decoder.js';
import { SHAPES, type ShapeName } from './models/shapes.js';

// Where the time of a step goes, and what three of the engine's ideas cost or save: the cut, the prefix cache, paging.

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quantize: { type: 'string', default: 'none' },
    'kv-dtype': { type: 'string', default: 'f32' },
  },
});
const shape = (positionals[0] ?? 'qwen2.5-0.5b') as ShapeName;
if (!(shape in SHAPES))
  throw new Error(`shape ${shape}: must be one of ${Object.keys(SHAPES).join(', ')}`);
const quantize = oneOf('quantize', flags.quantize, ['none', 'w8a8']);
const kvDtype = oneOf('kv-dtype', flags['kv-dtype'], ['f32', 'bf16', 'int8']);
const THREADS = 2;
const STEP_TOKENS = 512;
/** Steps, at least, over which a median is taken; contexts are then around the stated length. */
const TOGETHER = 20;
const directory = ensureModel(shape);
const { vocab } = SHAPES[shape];

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined)
    throw new Error(`--${flag} ${value}: must be one of ${allowed.join(', ')}`);
  return found;
}

let nextId = 0;
function request(length: number, maxTokens: number, seed = nextId): EngineRequest {
  const promptTokenIds = Array.from(
    { length },
    (_, i) => ((i * 7919 + seed * 104_729) % vocab) as TokenId,
  );
  return {
    ids: [`r${nextId++}` as RequestId],
    promptTokenIds,
    maxTokens,
    stopTokenIds: [],
    sampling: GREEDY,
    ...PLAIN_REQUEST,
  };
}

interface Step extends StepTimings {
  /** Sequences that got a token. */
  readonly tokens: number;
}

/** All steps until nothing is left to do. */
async function drain({ core }: LoadedEngine): Promise<Step[]> {
  const steps: Step[] = [];
  while (core.hasWork) {
    const outputs = await core.step();
    steps.push({ ...core.timings, tokens: outputs.length });
  }
  return steps;
}

const mid = (steps: readonly StepTimings[], phase: keyof StepTimings): number =>
  median(steps.map((step) => step[phase]));

/** Medians of a decode step with `batch` sequences of `context` tokens. */
async function decode(engine: LoadedEngine, batch: number, context: number): Promise<Cell[]> {
  // The first prompt to be done goes on until the last one is, and then all decode together.
  const prefillSteps = Math.ceil((batch * context) / STEP_TOKENS);
  const length = context - 2 * TOGETHER;
  for (let i = 0; i < batch; i++) engine.core.add(request(length, prefillSteps + 2 * TOGETHER));
  const all = await drain(engine);
  // All got a token: the first such step did the last of the prompts, too; in the last one the first have ended.
  const steps = all.filter(({ tokens }) => tokens === batch).slice(1, -1);
  if (steps.length < TOGETHER) {
    throw new Error(`only ${steps.length} steps in which ${batch} sequences decoded`);
  }
  const total = mid(steps, 'total');
  const phases = (['schedule', 'segments', 'attention', 'sample'] as const).map((p) =>
    mid(steps, p),
  );
  const rest = median(steps.map((s) => s.total - s.schedule - s.segments - s.attention - s.sample));
  return [
    batch,
    context,
    total,
    (1000 * batch) / total,
    ...phases,
    rest,
    `${Math.round((100 * (phases[0] + phases[3] + rest)) / total)} %`,
  ];
}

/** Milliseconds to the first token of a prompt. */
async function firstToken(engine: LoadedEngine, prompt: EngineRequest): Promise<number> {
  engine.core.add(prompt);
  return (await drain(engine)).reduce((sum, step) => sum + step.total, 0);
}

/**
 * Cut and uncut, each in processes of its own, in turn: two copies of a model in one process would share the machine's memory
 * unevenly.
 */
function compareWithUncut(context: number): Cell[] {
  const script = fileURLToPath(new URL('./lib/decode-process.ts', import.meta.url));
  const run = (kind: string): number =>
    Number(
      execFileSync(process.execPath, ['--import', 'tsx', script, kind, directory, String(context)]),
    );
  const uncut: number[] = [];
  const cut: number[] = [];
  for (let round = 0; round < 5; round++) {
    uncut.push(run('uncut'));
    cut.push(run('cut'));
  }
  const ratios = cut.map((ms, i) => ms / uncut[i]);
  return [context, median(uncut), median(cut), `${Math.round(100 * (median(ratios) - 1))} %`];
}

function whatTheCutCosts(rows: readonly Cell[][]): Report['tables'][number] {
  return {
    title:
      'What the cut costs: a decode step at batch 1, against the same graph uncut in ONNX Runtime (5 processes each, in turn, median of ratios)',
    columns: ['context', 'uncut', 'cut', 'difference'],
    rows,
  };
}

const engine = await loadEngine({
  modelDir: directory,
  maxNumSeqs: 64,
  maxNumBatchedTokens: STEP_TOKENS,
  blockSize: 16,
  kvCacheBytes: 2 * 2 ** 30,
  kvDtype,
  maxModelLength: 4096,
  threads: THREADS,
  enablePrefixCaching: true,
  schedulingPolicy: 'fcfs',
  longPrefillThreshold: 0,
  kvMetricsSampleRate: 0,
  ...(quantize === 'w8a8' && {
    quantize: { kind: quantize, nbits: false, cacheDir: modelCacheDir(undefined, process.env) },
  }),
});
await firstToken(engine, request(64, 8));

const decodes: Cell[][] = [];
for (const [batch, context] of [
  [1, 64],
  [1, 512],
  [8, 512],
  [32, 512],
] as const) {
  decodes.push(await decode(engine, batch, context));
}
const prompt = request(1024, 1, 999_983);
const cold = await firstToken(engine, prompt);
const warm: number[] = [];
for (let i = 0; i < 5; i++)
  warm.push(await firstToken(engine, { ...prompt, ids: [`warm${i}` as RequestId] }));
const prefills: number[] = [];
for (let i = 0; i < 9; i++) prefills.push(await firstToken(engine, request(512, 1, 31 * i + 17)));
await engine.runner.dispose();
// A quantised model has no uncut form.
const splits = quantize === 'none' && kvDtype === 'f32' ? [16, 512].map(compareWithUncut) : [];

const variant = [quantize, kvDtype].filter((part) => part !== 'none' && part !== 'f32');
const command = ['npm run bench:step', ...process.argv.slice(2)];
publish({
  name: ['step', shape, ...variant].join('-'),
  command: command.length > 1 ? command.join(' ').replace('step ', 'step -- ') : command[0],
  about:
    `Steps of the engine core, random weights in the shape of ${shape}, ${quantize === 'none' ? 'float32' : quantize} weights, ` +
    `${kvDtype} pages, ${THREADS} threads; medians, milliseconds.`,
  tables: [
    {
      title: 'Decode',
      columns: [
        'batch',
        'context',
        'step',
        'tokens/s',
        'schedule',
        'segments',
        'attention',
        'sample',
        'other JavaScript',
        'JavaScript share',
      ],
      rows: decodes,
    },
    ...(splits.length > 0 ? [whatTheCutCosts(splits)] : []),
    {
      title: 'A prompt of 512 tokens in one step',
      columns: ['milliseconds', 'tokens/s'],
      rows: [[median(prefills), 512_000 / median(prefills)]],
    },
    {
      title: 'A prompt of 1,024 tokens, time to its first token',
      columns: ['not cached', 'cached', 'ratio'],
      rows: [[cold, median(warm), cold / median(warm)]],
    },
  ],
});
