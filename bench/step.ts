import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { StepTimings } from '../engine/protocol/reports.js';
import type { EngineRequest } from '../engine/protocol/request.js';
import type { LoadedEngine } from '../engine/thread/load-engine.js';
import type { SequenceId } from '../scheduler/ids.js';
import {
  benchModelFromArgv,
  benchRequest,
  loadBenchEngine,
  STEP_TOKENS,
} from './lib/bench-engine.js';
import { type Cell, commandLine, median, publish, type Report } from './lib/report.js';

// The time of a step by phase, and what the cut, the prefix cache and paging cost or save.

const model = benchModelFromArgv();
/** Steps, at least, over which a median is taken; contexts are then around the stated length. */
const TOGETHER = 20;
const request = (length: number, maxTokens: number, seed?: number): EngineRequest =>
  benchRequest(model, length, maxTokens, seed);

interface Step extends StepTimings {
  /** Sequences that got a token. */
  readonly tokens: number;
  /** Milliseconds of all threads. */
  readonly processor: number;
}

const processorMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const MIB = 2 ** 20;

/** All steps until nothing is left to do. */
async function drain({ core }: LoadedEngine): Promise<Step[]> {
  const steps: Step[] = [];
  while (core.hasWork) {
    const begin = processorMs();
    const outputs = (await core.step()) ?? [];
    const processor = processorMs() - begin;
    steps.push({ ...core.timings, tokens: outputs.length, processor });
  }
  return steps;
}

const mid = (steps: readonly StepTimings[], phase: keyof StepTimings): number =>
  median(steps.map((step) => step[phase] ?? 0));

/** Medians of a decode step with `batch` sequences of `context` tokens. */
async function decode(engine: LoadedEngine, batch: number, context: number): Promise<Cell[]> {
  // The first prompt to be done goes on until the last one is, and then all decode together.
  const prefillSteps = Math.ceil((batch * context) / STEP_TOKENS);
  const length = context - 2 * TOGETHER;
  for (let i = 0; i < batch; i++) engine.core.add(request(length, prefillSteps + 2 * TOGETHER));
  const all = await drain(engine);
  // All got a token: the first such step did the last of the prompts, too; in the last one the
  // first have ended.
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
    median(steps.map(({ processor }) => processor)),
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
 * Cut and uncut, each in processes of its own, in turn: two copies of a model in one process would
 * share the machine's memory unevenly.
 */
function compareWithUncut(context: number): Cell[] {
  const script = fileURLToPath(new URL('./lib/decode-process.ts', import.meta.url));
  const run = (kind: string): number =>
    Number(
      execFileSync(process.execPath, [
        '--import',
        'tsx',
        script,
        kind,
        model.directory,
        String(context),
      ]),
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

const engine = await loadBenchEngine(model);
const whenReady = process.memoryUsage.rss() / MIB;
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
  warm.push(await firstToken(engine, { ...prompt, ids: [`warm${i}` as SequenceId] }));
const prefills: number[] = [];
for (let i = 0; i < 9; i++) prefills.push(await firstToken(engine, request(512, 1, 31 * i + 17)));
// (In KiB.)
const peak = process.resourceUsage().maxRSS / 1024;
await engine.runner.dispose();
// An ONNX file alone has an uncut form, and a quantized model has none.
const splits = model.variant.join() === 'export' ? [16, 512].map(compareWithUncut) : [];

publish({
  name: ['step', model.shape, ...model.variant].join('-'),
  command: commandLine('bench:step'),
  about: `Steps of the engine core: ${model.description}; medians, milliseconds.`,
  tables: [
    {
      title: 'Decode',
      columns: [
        'batch',
        'context',
        'step',
        'tokens/s',
        'processor time',
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
    {
      title:
        'Resident memory, MiB (with the pages of the cache and of mapped files that were touched)',
      columns: ['when ready', 'at the peak'],
      rows: [[whenReady, peak]],
    },
  ],
});
