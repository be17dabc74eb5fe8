import {
  type PlanLimits,
  type PlanShape,
  planAttention,
} from '../../engine/attention/kernel/attention-plan.js';
import { contextCuts } from '../../engine/attention/kernel/context-cuts.js';
import {
  type AttentionShape,
  KV_DTYPES,
  plainAttention,
} from '../../engine/attention/paged-attention.js';
import { BLOCK_SIZE, batchOf, type Load, timeInTurn } from './attention-load.js';
import { simulateTeam, type TeamWork } from './attention-team.js';
import { type Cell, median, type Report } from './report.js';

type Table = Report['tables'][number];

/** Heads / KV heads, and as many layers as models of this shape have, or as memory allows. */
const SHAPES: readonly (readonly [name: string, shape: AttentionShape, layers: number])[] = [
  ['14/2', plainAttention(14, 2, 64), 24],
  ['32/8', plainAttention(32, 8, 128), 8],
  ['12/12', plainAttention(12, 12, 64), 12],
];
const OWN_TOKENS = 128;
const REPEATS = 7;

/** Decodes that share the beginning of their contexts, in turn with the same without sharing. */
export async function sharedPrefixes(threads: number): Promise<Table> {
  const rows: Cell[][] = [];
  const measure = async (
    [name, shape, layers]: (typeof SHAPES)[number],
    kvDtype: Load['kvDtype'],
    shared: number,
    batch: number,
  ): Promise<void> => {
    const context = shared + OWN_TOKENS;
    const load: Load = { kvDtype, batch, context, queries: 1, threads, shared, shape, layers };
    const times = await timeInTurn([load, { ...load, sharesReads: false }], REPEATS);
    const [together, apart] = times.map(median);
    const planning = planningTime(load, shape);
    rows.push([name, kvDtype, shared, batch, apart, together, apart / together, planning]);
  };
  for (const kind of SHAPES) {
    for (const kvDtype of KV_DTYPES) await measure(kind, kvDtype, 2048, 32);
    for (const shared of [1024, 2048, 4096]) {
      for (const batch of [8, 32, 64]) {
        if (shared !== 2048 || batch !== 32) await measure(kind, 'f32', shared, batch);
      }
    }
  }
  return {
    title: `Decode with a shared prefix and ${OWN_TOKENS} tokens of each sequence's own, ${threads} threads`,
    columns: [
      'heads',
      'format',
      'prefix',
      'batch',
      'ms apart',
      'ms shared',
      'times as fast',
      'ms to plan a step',
    ],
    rows,
  };
}

/** One long sequence: time with one thread and with more, and the work of a simulated team. */
export async function longSequences(threads: number, simulated: number): Promise<Table> {
  const rows: Cell[][] = [];
  for (const [name, shape, layers] of [['8/1', plainAttention(8, 1, 64), 24] as const, ...SHAPES]) {
    for (const context of [2048, 8192, 32_768]) {
      const load: Load = {
        kvDtype: 'f32',
        batch: 1,
        context,
        queries: 1,
        threads,
        shape,
        layers: Math.min(layers, 8),
      };
      const times = await timeInTurn([{ ...load, threads: 1 }, load], REPEATS);
      const [one, more] = times.map(median);
      const { tasks, work } = teamOf(load, shape, simulated);
      const mean = work.reduce((a, b) => a + b, 0) / simulated;
      const units = `${Math.min(...tasks)} to ${Math.max(...tasks)}`;
      rows.push([name, context, one, more, one / more, units, Math.max(...work) / mean]);
    }
  }
  return {
    title: `Decode of one sequence, f32, 8 layers, and the work of ${simulated} simulated threads`,
    columns: [
      'heads',
      'context',
      'ms, 1 thread',
      `ms, ${threads} threads`,
      'times as fast',
      `tasks a thread, of ${simulated}`,
      'most work over mean',
    ],
    rows,
  };
}

const planShape = ({ numHeads, numKvHeads }: AttentionShape): PlanShape => ({
  group: numHeads / numKvHeads,
  numKvHeads,
  slidingWindow: 0,
  cacheGroup: 0,
});

const limitsOf = (threads: number): PlanLimits => ({
  cuts: contextCuts(BLOCK_SIZE),
  threads,
  maxStates: Number.POSITIVE_INFINITY,
  shares: true,
});

/** Milliseconds to plan a step of the load. */
function planningTime(load: Load, shape: AttentionShape): number {
  const batch = batchOf(load);
  const times = Array.from({ length: 500 }, () => {
    const start = performance.now();
    planAttention(batch, planShape(shape), limitsOf(load.threads));
    return performance.now() - start;
  });
  return median(times);
}

function teamOf(load: Load, shape: AttentionShape, threads: number): TeamWork {
  const batch = batchOf(load);
  const plan = planAttention(batch, planShape(shape), limitsOf(threads));
  return simulateTeam(plan, batch, planShape(shape), BLOCK_SIZE, threads);
}
