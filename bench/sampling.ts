import { fullRowsOf } from '../engine/decoding/logits-query.js';
import { LogitsQueryBuilder } from '../engine/decoding/logits-query-builder.js';
import { argMax, Sampler } from '../engine/sampling/sampler.js';
import { GREEDY, type SamplingParams } from '../engine/sampling/sampling-params.js';
import { SequenceSampler } from '../engine/sampling/sequence-sampler.js';
import { loadEngine } from '../engine/thread/load-engine.js';
import type { BlockId } from '../kvcache/ids.js';
import type { SequenceId, TokenId } from '../scheduler/ids.js';
import type { StepPlan } from '../scheduler/step-plan.js';
import { BENCH_OPTIONS, BLOCK_SIZE, THREADS } from './lib/bench-engine.js';
import { type Cell, median, publish } from './lib/report.js';
import { ensureShape } from './models/random-checkpoint.js';
import { SHAPES, type ShapeName } from './models/shapes.js';

// The cost of a decode step by kind of sampling. One layer and the LM head are enough to measure
// it. The kinds take turns, so that other load on the machine slows all of them.

const shape = (process.argv[2] ?? 'qwen2.5-0.5b-head') as ShapeName;
if (!(shape in SHAPES))
  throw new Error(`shape ${shape}: must be one of ${Object.keys(SHAPES).join(', ')}`);
const CONTEXT = 64;
const ROUNDS = 25;

const { runner, info } = await loadEngine({
  ...BENCH_OPTIONS,
  modelDir: ensureShape(shape),
  maxNumSeqs: 64,
  kvCacheBytes: 2 ** 29,
  kvDtype: 'f32',
  maxModelLength: 1024,
  enablePrefixCaching: false,
});
const { vocabSize } = info;

/** A decode step of `batch` sequences. */
function decodePlan(batch: number): StepPlan {
  const blocks = CONTEXT / BLOCK_SIZE;
  const sequences = Array.from({ length: batch }, (_, s) => ({
    id: `${s}` as SequenceId,
    tokenIds: [(7 * s) as TokenId],
    numComputed: CONTEXT - 1,
    numProposed: 0,
    adapter: null,
    sequenceLength: CONTEXT,
    blockTables: [Array.from({ length: blocks }, (__, b) => (s * blocks + b) as BlockId)],
    sampledFor: [`${s}` as SequenceId],
  }));
  return { sequences, numTokens: batch, blockCopies: [] };
}

/**
 * Random weights give flat distributions; at this temperature they are as peaked as a trained
 * model's.
 */
const PEAKED = 0.05;

const KINDS: Readonly<Record<string, Partial<SamplingParams>>> = {
  greedy: {},
  'top-k 40': { temperature: PEAKED, topK: 40 },
  'top-p 0.9': { temperature: PEAKED, topP: 0.9 },
  'temperature alone': { temperature: PEAKED },
  'top-p 0.9, penalties': { temperature: PEAKED, topP: 0.9, frequencyPenalty: 0.01 },
  'temperature alone, flat: whole rows, far down': { temperature: 1 },
  'typical-p 0.9': { temperature: PEAKED, typicalP: 0.9 },
};

const sampler = new Sampler();
const edited = new Float32Array(vocabSize);

/** Completions in the middle of their texts. */
function sequencesOf(batch: number, params: Partial<SamplingParams>): SequenceSampler[] {
  return Array.from({ length: batch }, (_, seed) => {
    const sequence = new SequenceSampler({
      params: { ...GREEDY, ...params, seed },
      promptTokenIds: [],
      stopTokenIds: [],
      minTokens: 0,
      constraint: null,
    });
    for (let t = 0; t < 100; t++) sequence.accept((seed + 31 * t) as TokenId);
    return sequence;
  });
}

/**
 * One step.
 *
 * @returns milliseconds inside ONNX Runtime, and of choosing, and how many rows came out whole
 */
async function step(plan: StepPlan, params: Partial<SamplingParams>): Promise<number[]> {
  const sequences = sequencesOf(plan.numTokens, params);
  const builder = new LogitsQueryBuilder(vocabSize);
  sequences.forEach((sequence, row) => {
    const { topK, fullRow, unless } = sequence.needs();
    builder.addLogits(row, topK);
    if (fullRow) builder.addFullRow(row);
    if (unless) builder.addSoftmaxSum(row, sequence.params.temperature, unless);
  });
  const query = builder.build();
  const answer = await runner.execute(plan, query);
  const { topK } = query;
  const start = performance.now();
  sequences.forEach((sequence, s) => {
    const candidates = {
      count: topK,
      ids: answer.topIds.subarray(s * topK, (s + 1) * topK),
      logits: answer.topLogits.subarray(s * topK, (s + 1) * topK),
      complete: false,
    };
    const f = answer.fullRows.indexOf(s);
    const row = f < 0 ? null : answer.fullLogits.subarray(f * vocabSize, (f + 1) * vocabSize);
    const total = answer.softmaxSums.length > 0 ? answer.softmaxSums[s] : null;
    sequence.accept(sequence.choose(sampler, { candidates, total, row }, edited));
  });
  return [runner.timings.segments, performance.now() - start, answer.fullRows.length];
}

/**
 * What a step would do without the end of the graph: all rows come out, and JavaScript looks for
 * the largest.
 */
async function wholeStep(plan: StepPlan): Promise<number[]> {
  const { fullLogits } = await runner.execute(plan, fullRowsOf(plan));
  const start = performance.now();
  for (let s = 0; s < plan.numTokens; s++) {
    argMax(fullLogits.subarray(s * vocabSize, (s + 1) * vocabSize));
  }
  return [runner.timings.segments, performance.now() - start, plan.numTokens];
}

const rows: Cell[][] = [];
for (const batch of [1, 8, 32]) {
  const plan = decodePlan(batch);
  const kinds: [string, () => Promise<number[]>][] = [
    ['greedy, all rows whole', () => wholeStep(plan)],
    ...Object.entries(KINDS).map(([name, params]): [string, () => Promise<number[]>] => [
      name,
      () => step(plan, params),
    ]),
  ];
  const measured = kinds.map((): number[][] => []);
  for (let round = -2; round < ROUNDS; round++) {
    for (const [k, [, run]] of kinds.entries()) {
      const figures = await run();
      if (round >= 0) measured[k].push(figures);
    }
  }
  for (const [k, [name]] of kinds.entries()) {
    const column = (i: number): number => median(measured[k].map((figures) => figures[i]));
    const difference = median(
      measured[k].map(([segments, choice], i) => {
        const [first, firstChoice] = measured[0][i];
        return segments + choice - first - firstChoice;
      }),
    );
    rows.push([batch, name, column(0), column(1), column(2), difference]);
  }
}
await runner.dispose();

publish({
  name: `sampling-${shape}`,
  command: `npm run bench:sampling${shape === 'qwen2.5-0.5b-head' ? '' : ` -- ${shape}`}`,
  about:
    `A decode step by what its completions want of the logits (${vocabSize} tokens), random weights in the shape of ${shape}, ` +
    `float32, context ${CONTEXT}, ${THREADS} threads; medians of ${ROUNDS} rounds in which the kinds take turns, milliseconds.`,
  tables: [
    {
      title: 'Inside ONNX Runtime, and choosing in JavaScript',
      columns: [
        'batch',
        'kind',
        'segments',
        'choosing',
        'rows that came out',
        'both, against the first',
      ],
      rows,
    },
  ],
});
