import { setTimeout as sleep } from 'node:timers/promises';
import { EngineCore } from '../../engine/core/engine-core.js';
import type { ModelRunner } from '../../engine/core/model-runner.js';
import { PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { LoadedEngine } from '../../engine/thread/load-engine.js';
import type { SequenceId } from '../../scheduler/ids.js';
import type { SimulatedRequest } from '../simulation/simulate.js';
import { type StepTimes, stepMs } from '../simulation/step-times.js';
import type { SystemUnderTest } from './systems.js';

export interface RealRun {
  /** Of each request, in milliseconds, arrival to end. */
  readonly latenciesMs: readonly number[];
  /** Mean number of sequences in a step, by time. */
  readonly meanBatch: number;
  /**
   * Time of its steps, by what `times` say of the same steps. Machines that are shared change their
   * speed within a minute, which says nothing of a simulation.
   */
  readonly slowness: number;
}

/**
 * Plays requests on a real model, at their times. A model with random weights ends no output by
 * itself, so each is given up when it is as long as it should become: admission cannot know before.
 */
export async function runReal(
  { runner, info }: LoadedEngine,
  { scheduler, cache }: SystemUnderTest,
  requests: readonly SimulatedRequest[],
  times: StepTimes,
): Promise<RealRun> {
  const now = (): number => performance.now();
  let expected = 0;
  const watched: ModelRunner = {
    execute: (plan, query) => {
      expected += stepMs(times, plan);
      return runner.execute(plan, query);
    },
    get timings() {
      return runner.timings;
    },
    canCopyBlocks: runner.canCopyBlocks,
    dispose: () => runner.dispose(),
  };
  const { vocabSize } = info;
  const core = new EngineCore({ scheduler, runner: watched, vocabSize, cache, now });
  const begin = now();
  const ends = new Map<string, number>();
  const written = requests.map(() => 0);
  let [next, batch, busy] = [0, 0, 0];
  while (next < requests.length || core.hasWork) {
    for (; next < requests.length && requests[next].arrivalMs <= now() - begin; next++) {
      const { promptTokenIds, maxTokens, more } = requests[next];
      core.add({
        ids: [`${next}` as SequenceId],
        promptTokenIds,
        maxTokens,
        stopTokenIds: [],
        sampling: GREEDY,
        ...PLAIN_REQUEST,
        ...more,
      });
    }
    if (!core.hasWork) {
      await sleep(Math.max(0, requests[next].arrivalMs - (now() - begin)));
      continue;
    }
    const outputs = (await core.step()) ?? [];
    busy += core.timings.total;
    batch += core.timings.total * Math.max(core.stats.running, outputs.length);
    for (const { id, tokenIds } of outputs) {
      const index = Number(id);
      written[index] += tokenIds.length;
      if (written[index] < requests[index].outputTokens) continue;
      ends.set(id, now() - begin);
      core.abort(id);
    }
  }
  const latenciesMs = requests.map(
    ({ arrivalMs }, index) => (ends.get(`${index}`) ?? Number.NaN) - arrivalMs,
  );
  return { latenciesMs, meanBatch: batch / busy, slowness: busy / expected };
}
