import {
  type AttentionPlan,
  WORDS_PER_TASK,
} from '../../engine/attention/kernel/attention-plan.js';
import { contextCuts } from '../../engine/attention/kernel/context-cuts.js';
import type { AttentionBatch } from '../../engine/attention/paged-attention.js';

/** What each thread of a team had to do. */
export interface TeamWork {
  /** Tasks that each thread took. */
  readonly tasks: readonly number[];
  /** Rows times blocks that each thread computed. */
  readonly work: readonly number[];
}

interface Task {
  readonly tiles: readonly number[];
  readonly head: number;
  readonly isPart: boolean;
  readonly cost: number;
}

/**
 * Lets a team of threads that all run at one speed take the tasks of a plan, as the kernel does:
 * the next one whenever a thread is free; and whose task was the last one that a query tile has
 * waited for goes on with this tile. Layers with full attention only.
 */
export function simulateTeam(
  plan: AttentionPlan,
  batch: AttentionBatch,
  { group, numKvHeads }: { readonly group: number; readonly numKvHeads: number },
  blockSize: number,
  threads: number,
): TeamWork {
  const { blocksPerSpan } = contextCuts(blockSize);
  const numBlocks = (tile: number): number =>
    Math.ceil(batch.contextLengths[plan.tiles[4 * tile]] / blockSize);
  const rows = (tile: number): number => plan.tiles[4 * tile + 2] * group;
  const tasks = Array.from({ length: plan.numTasks }, (_, i): Task => {
    const [first, count, head, begin, end] = plan.tasks.subarray(WORDS_PER_TASK * i);
    const tiles = [...plan.taskTiles.subarray(first, first + count)];
    const blocks = end === 0 ? numBlocks(tiles[0]) : end - begin;
    const cost = blocks * tiles.reduce((sum, tile) => sum + rows(tile), 0);
    return { tiles, head, isPart: end > 0, cost };
  });
  /** What parts have left of a tile. */
  const rest = (tile: number): number => {
    const first = plan.tiles[4 * tile + 3];
    const numSpans = Math.ceil(numBlocks(tile) / blocksPerSpan);
    let blocks = 0;
    for (let span = 0; span < numSpans; span++) {
      const end = Math.min((span + 1) * blocksPerSpan, numBlocks(tile));
      blocks += end - Math.max(plan.spans[3 * (first + span)], span * blocksPerSpan);
    }
    return blocks * rows(tile);
  };

  const pending = plan.pending.slice();
  const clocks = Array.from({ length: threads }, () => 0);
  const taken = Array.from({ length: threads }, () => 0);
  const running = Array.from({ length: threads }, (): Task | undefined => undefined);
  for (let next = 0; next < tasks.length || running.some(Boolean); ) {
    const busy = clocks.map((clock, t) => (next < tasks.length || running[t] ? clock : Infinity));
    const thread = busy.indexOf(Math.min(...busy));
    const ended = running[thread];
    running[thread] = undefined;
    if (ended?.isPart) {
      for (const tile of ended.tiles) {
        if (--pending[tile * numKvHeads + ended.head] === 0) clocks[thread] += rest(tile);
      }
    } else if (next < tasks.length) {
      clocks[thread] += tasks[next].cost;
      taken[thread] += 1;
      running[thread] = tasks[next++];
    }
  }
  return { tasks: taken, work: clocks };
}
