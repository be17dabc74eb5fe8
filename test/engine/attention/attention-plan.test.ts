import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchOf, type Load } from '../../../bench/lib/attention-load.js';
import { simulateTeam } from '../../../bench/lib/attention-team.js';
import {
  type AttentionPlan,
  type PlanLimits,
  planAttention,
  WORDS_PER_TASK,
} from '../../../engine/attention/kernel/attention-plan.js';
import { contextCuts } from '../../../engine/attention/kernel/context-cuts.js';
import type { AttentionBatch } from '../../../engine/attention/paged-attention.js';
import { sharedContexts, stepOf } from '../../support/shared-contexts.js';

const LIMITS: PlanLimits = {
  cuts: contextCuts(16),
  threads: 16,
  maxStates: 1_000_000,
  shares: true,
};

const LOAD: Load = { kvDtype: 'f32', batch: 1, context: 8192, queries: 1, threads: 16 };

interface Task {
  readonly tiles: readonly number[];
  readonly head: number;
  readonly begin: number;
  readonly end: number;
  readonly states: number;
}

function tasksOf({ tasks, taskTiles, numTasks }: AttentionPlan): Task[] {
  return Array.from({ length: numTasks }, (_, i) => {
    const [first, count, head, begin, end, states] = tasks.subarray(WORDS_PER_TASK * i);
    return { tiles: [...taskTiles.subarray(first, first + count)], head, begin, end, states };
  });
}

const full = (numHeads: number, numKvHeads: number) => ({
  group: numHeads / numKvHeads,
  numKvHeads,
  slidingWindow: 0,
  cacheGroup: 0,
});

/** Largest over mean work of a thread. */
function imbalance(load: Load, shape: ReturnType<typeof full>, limits = LIMITS): number {
  const batch = batchOf(load);
  const plan = planAttention(batch, shape, limits);
  const { work } = simulateTeam(plan, batch, shape, 16, limits.threads);
  return Math.max(...work) / (work.reduce((a, b) => a + b, 0) / work.length);
}

describe('the plan of a step', () => {
  it('computes each span of a tile at most once, of blocks that all its sequences have', () => {
    fc.assert(
      fc.property(
        sharedContexts,
        fc.constantFrom(0, 30, 1000, 1_000_000),
        (contexts, maxStates) => {
          const { config, sequences } = contexts;
          const [{ numHeads, numKvHeads, slidingWindow }] = config.layers;
          const group = numHeads / numKvHeads;
          const cuts = contextCuts(config.blockSize);
          const batch = stepOf(sequences);
          const shape = { group, numKvHeads, slidingWindow, cacheGroup: 0 };
          const limits = { cuts, threads: config.threads, maxStates, shares: true };
          const plan = planAttention(batch, shape, limits);
          const table = (tile: number): readonly number[] => sequences[plan.tiles[4 * tile]].table;
          const rowsOf = (tile: number): number => plan.tiles[4 * tile + 2] * group;
          const wrong: string[] = [];
          const check = (holds: boolean, what: string): void => {
            if (!holds) wrong.push(what);
          };
          const spans = new Set<string>();
          const waits = new Int32Array(plan.pending.length);
          const states = new Uint8Array(plan.numStates);
          for (const { tiles, head, begin, end, states: first } of tasksOf(plan)) {
            const rows = tiles.reduce((sum, tile) => sum + rowsOf(tile), 0);
            check(rows <= Math.max(48, group), 'rows');
            const span = end === 0 ? 'whole' : Math.floor(begin / cuts.blocksPerSpan);
            for (const tile of tiles) {
              check(!spans.has(`${tile} ${head} ${span}`), 'a span twice');
              spans.add(`${tile} ${head} ${span}`);
              check(plan.tiles[4 * tile + 3] < 0 === (end === 0), 'spans of a whole tile');
              if (end === 0) continue;
              check(end <= (Number(span) + 1) * cuts.blocksPerSpan, 'beyond a span');
              for (let i = begin; i < end; i++) {
                check(table(tile)[i] === table(tiles[0])[i], 'blocks of another sequence');
              }
              waits[tile * numKvHeads + head]++;
            }
            const own = states.subarray(first, end === 0 ? first : first + rows);
            check(
              own.every((used) => used === 0),
              'a state of two tasks',
            );
            own.fill(1);
          }
          check(plan.numStates <= maxStates, 'states');
          for (let at = 0; at < waits.length; at++) {
            const [tile, head] = [Math.floor(at / numKvHeads), at % numKvHeads];
            check(waits[at] === plan.pending[at], 'pending');
            check(
              spans.has(`${tile} ${head} whole`) === (waits[at] === 0),
              'a tile without an end',
            );
          }
          expect(wrong).toEqual([]);
        },
      ),
      { numRuns: 100, seed: 20261203 },
    );
  });

  it('reads a prefix of 2,048 tokens once for 48 rows, and what is private once a sequence', () => {
    const batch = batchOf({ ...LOAD, batch: 32, context: 2176, shared: 2048 });
    const count = (shape: ReturnType<typeof full>): Record<string, number> => {
      const counts: Record<string, number> = {};
      for (const { tiles, begin, end } of tasksOf(planAttention(batch, shape, LIMITS))) {
        const key = `${begin}-${end}: ${tiles.length}`;
        counts[key] = (counts[key] ?? 0) + 1;
      }
      return counts;
    };
    const spans = ['0-32', '32-64', '64-96', '96-128'];
    const times = (kvHeads: number, tasks: Readonly<Record<number, number>>) => ({
      ...Object.fromEntries(
        spans.flatMap((span) =>
          Object.entries(tasks).map(([size, n]) => [`${span}: ${size}`, n * kvHeads]),
        ),
      ),
      '128-136: 1': 32 * kvHeads,
    });
    // 224 rows in tasks of 42, 35 or 28; one task of 32 rows.
    expect(count(full(14, 2))).toEqual(times(2, { 6: 3, 5: 2, 4: 1 }));
    expect(count(full(12, 12))).toEqual(times(12, { 32: 1 }));
  });

  it('leaves to each sequence what it alone reads, and all where a selector chooses', () => {
    const batch = batchOf({ ...LOAD, batch: 4, context: 2176, shared: 2048 });
    const sizes = (shape: ReturnType<typeof full>, step: AttentionBatch, limits = LIMITS) =>
      Math.max(...tasksOf(planAttention(step, shape, limits)).map(({ tiles }) => tiles.length));
    expect(sizes(full(14, 2), batch)).toBe(4);
    expect(sizes(full(14, 2), batchOf({ ...LOAD, batch: 4, context: 2176 }))).toBe(1);
    expect(sizes(full(14, 2), batch, { ...LIMITS, shares: false })).toBe(1);
    // Its window begins behind the first block.
    expect(sizes({ ...full(14, 2), slidingWindow: 2100 }, batch)).toBe(1);
    expect(sizes({ ...full(14, 2), slidingWindow: 2170 }, batch)).toBe(4);
    // 25 rows of a sequence are more than half of a task.
    expect(sizes(full(24, 1), batch)).toBe(2);
    expect(sizes(full(25, 1), batch)).toBe(1);
    // Less than a tile of 128 tokens; a single one for two sequences.
    expect(sizes(full(14, 2), batchOf({ ...LOAD, batch: 4, context: 300, shared: 112 }))).toBe(1);
    expect(sizes(full(14, 2), batchOf({ ...LOAD, batch: 2, context: 300, shared: 128 }))).toBe(1);
    expect(sizes(full(14, 2), batchOf({ ...LOAD, batch: 3, context: 300, shared: 128 }))).toBe(3);
  });

  it.each<[string, Load, ReturnType<typeof full>, number]>([
    ['one sequence of 8,192 tokens, 2 KV heads', LOAD, full(14, 2), 8],
    ['one of 16,384 tokens, 1 KV head', { ...LOAD, context: 16_384 }, full(8, 1), 16],
    ['three of 8,192 tokens, 2 KV heads', { ...LOAD, batch: 3 }, full(14, 2), 2.6],
    [
      '32 that share 2,048 tokens',
      { ...LOAD, batch: 32, context: 2176, shared: 2048 },
      full(14, 2),
      1,
    ],
  ])('gives 16 threads equal work: %s', (_, load, shape, uncut) => {
    expect(imbalance(load, shape)).toBeLessThan(1.15);
    const whole = { ...LIMITS, maxStates: 0 };
    expect(imbalance(load, shape, whole)).toBeGreaterThanOrEqual(uncut);
  });

  it('cuts nothing that one thread computes, nor where tasks are many', () => {
    const uncut = (load: Load, threads: number): boolean =>
      tasksOf(planAttention(batchOf(load), full(14, 2), { ...LIMITS, threads })).every(
        ({ end }) => end === 0,
      );
    expect(uncut(LOAD, 1)).toBe(true);
    expect(uncut(LOAD, 2)).toBe(false);
    expect(uncut({ ...LOAD, batch: 4 }, 2)).toBe(true);
    expect(uncut({ ...LOAD, context: 512 }, 16)).toBe(true);
  });
});
