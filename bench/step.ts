import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { StepTimings } from '../engine/core/engine-core.js';
import { type LoadedEngine, loadEngine } from '../engine/core/load-engine.js';
import type { EngineRequest } from '../engine/core/protocol.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import type { RequestId, TokenId } from '../scheduler/ids.js';
import { type Cell, median, publish } from './lib/report.js';
import { ensureModel } from './models/decoder.js';
import { SHAPES, type ShapeName } from './models/shapes.js';

// Where the time of a step goes, and what three of the engine's ideas cost or save: the cut, the prefix cache, paging.

const shape = (process.argv[2] ?? 'qwen2.5-0.5b') as ShapeName;
if (!(shape in SHAPES))
  throw new Error(`shape ${shape}: must be one of ${Object.keys(SHAPES).join(', ')}`);
const THREADS = 2;
const directory = ensureModel(shape);
const { vocab, layers, kvHeads, headSize } = SHAPES[shape];

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
    priority: 0,
    cacheSalt: null,
  };
}

/** Timings of all steps until nothing is left to do. */
async function drain({ core }: LoadedEngine): Promise<StepTimings[]> {
  const steps: StepTimings[] = [];
  while (core.hasWork) {
    await core.step();
    steps.push(core.timings);
  }
  return steps;
}

const mid = (steps: readonly StepTimings[], phase: keyof StepTimings): number =>
  median(steps.map((step) => step[phase]));

/** Medians of a decode step with `batch` sequences of `context` tokens. */
async function decode(engine: LoadedEngine, batch: number, context: number): Promise<Cell[]> {
  for (let i = 0; i < batch; i++) engine.core.add(request(context - 20, 24));
  const all = await drain(engine);
  // Steps in which all sequences decode: after the last prompt, before the first end.
  const steps = all.slice(-20, -2);
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

/** A decode step of the same graph uncut, in ONNX Runtime with its own attention. */
async function uncut(context: number): Promise<number> {
  const session = await InferenceSession.create(`${directory}/onnx/model.onnx`, {
    intraOpNumThreads: THREADS,
    interOpNumThreads: 1,
  });
  const past = new Float32Array(kvHeads * context * headSize).fill(0.01);
  const int64 = (length: number, value: bigint): Tensor =>
    new Tensor('int64', new BigInt64Array(length).fill(value), [1, length]);
  const feeds: Record<string, Tensor> = {
    input_ids: int64(1, 5n),
    position_ids: int64(1, BigInt(context)),
    attention_mask: int64(context + 1, 1n),
  };
  for (let layer = 0; layer < layers; layer++) {
    for (const kind of ['key', 'value']) {
      feeds[`past_key_values.${layer}.${kind}`] = new Tensor('float32', past, [
        1,
        kvHeads,
        context,
        headSize,
      ]);
    }
  }
  const times: number[] = [];
  for (let i = 0; i < 24; i++) {
    const start = performance.now();
    await session.run(feeds);
    times.push(performance.now() - start);
  }
  await session.release();
  return median(times.slice(4));
}

const engine = await loadEngine({
  modelDir: directory,
  maxNumSeqs: 64,
  maxNumBatchedTokens: 512,
  blockSize: 16,
  kvCacheBytes: 2 * 2 ** 30,
  kvDtype: 'f32',
  maxModelLength: 4096,
  threads: THREADS,
  enablePrefixCaching: true,
  schedulingPolicy: 'fcfs',
  longPrefillThreshold: 0,
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
await engine.runner.dispose();

const CONTEXTS = [16, 512] as const;
const splits: Cell[][] = [];
for (const context of CONTEXTS) {
  const whole = await uncut(context);
  const again = await loadEngineAt(context);
  splits.push([context, whole, again, `${Math.round((100 * (again - whole)) / whole)} %`]);
}

/** A decode step of the cut graph at a context, in an engine of its own: the memory of two would not be comparable. */
async function loadEngineAt(context: number): Promise<number> {
  const fresh = await loadEngine({
    modelDir: directory,
    maxNumSeqs: 1,
    maxNumBatchedTokens: 512,
    blockSize: 16,
    kvCacheBytes: 2 ** 28,
    kvDtype: 'f32',
    maxModelLength: 1024,
    threads: THREADS,
    enablePrefixCaching: false,
    schedulingPolicy: 'fcfs',
    longPrefillThreshold: 0,
  });
  fresh.core.add(request(context, 24));
  const steps = await drain(fresh);
  await fresh.runner.dispose();
  return mid(steps.slice(-20), 'total');
}

publish({
  name: `step-${shape}`,
  command: `npm run bench:step${shape === 'qwen2.5-0.5b' ? '' : ` -- ${shape}`}`,
  about: `Steps of the engine core, random weights in the shape of ${shape}, float32 weights and pages, ${THREADS} threads; medians, milliseconds.`,
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
    {
      title: 'What the cut costs (batch 1, against the same graph uncut in ONNX Runtime)',
      columns: ['context', 'uncut', 'cut', 'difference'],
      rows: splits,
    },
    {
      title: 'A prompt of 1,024 tokens, time to its first token',
      columns: ['not cached', 'cached', 'ratio'],
      rows: [[cold, median(warm), cold / median(warm)]],
    },
  ],
});
