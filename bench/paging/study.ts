import { summarizeMs } from '../simulation/latencies.js';
import { type SimulatedRequest, type Simulation, simulate } from '../simulation/simulate.js';
import { type StepTimes, stepMs } from '../simulation/step-times.js';
import { createSystem, type Lengths, PAGING, SYSTEMS, type System } from './systems.js';

/** What a system makes of its memory, by time. */
export interface MemoryUse {
  /** Share of what is reserved that holds tokens. */
  readonly liveOfReserved: number;
  /** Share of all memory that holds tokens. */
  readonly liveOfAll: number;
  readonly meanBatch: number;
}

export interface SystemRun extends MemoryUse {
  readonly simulation: Simulation;
  /** Seconds for each generated token, queue included: the paper's measure, mean over requests. */
  readonly normalizedSeconds: number;
}

/** Mean over requests of latency by output length, seconds a token. */
export function normalized(
  latenciesMs: readonly number[],
  requests: readonly SimulatedRequest[],
): number {
  return summarizeMs(latenciesMs.map((ms, i) => ms / requests[i].outputTokens)).mean;
}

/** Simulates a system. */
export function runSystem(
  system: System,
  slots: number,
  lengths: readonly Lengths[],
  requests: readonly SimulatedRequest[],
  times: StepTimes,
): SystemRun {
  const tested = createSystem(system, slots, (key) => lengths[Number(key)]);
  let [live, reserved, all] = [0, 0, 0];
  const simulation = simulate({
    scheduler: tested.scheduler,
    requests,
    stepMs: (plan) => stepMs(times, plan),
    onStep: ({ sequences }, ms) => {
      // While memory is what others wait for.
      if (tested.scheduler.numWaiting === 0) return;
      for (const { numComputed, tokenIds } of sequences)
        live += ms * (numComputed + tokenIds.length);
      reserved += ms * tested.reservedSlots();
      all += ms * slots;
    },
  });
  const latencies = simulation.served.map(({ arrivalMs, endMs }) => endMs - arrivalMs);
  return {
    simulation,
    liveOfReserved: live / reserved,
    liveOfAll: live / all,
    meanBatch: simulation.meanBatch,
    normalizedSeconds: normalized(latencies, requests),
  };
}

/**
 * The largest rate at which a system's normalized latency does not exceed a limit, by bisection to
 * 1 % of `most`.
 *
 * @param latencyAt normalized latency at a rate, rising
 * @param most the rate is smaller
 */
export function rateAt(
  limit: number,
  latencyAt: (perSecond: number) => number,
  most: number,
): number {
  let [low, high] = [0, most];
  while (high - low > most / 100) {
    const middle = (low + high) / 2;
    if (latencyAt(middle) <= limit) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * Blocks that parallel sampling saves by sharing the prompt's, of those that would be held without:
 * the paper's figure 15.
 */
export function savedBySharing(
  requests: readonly SimulatedRequest[],
  n: number,
  slots: number,
  times: StepTimes,
): number {
  const { scheduler, cache } = createSystem(SYSTEMS[PAGING], slots, () => ({
    prompt: 1,
    output: 1,
  }));
  let [held, without] = [0, 0];
  simulate({
    scheduler,
    requests: requests.map((request) => ({ ...request, n })),
    stepMs: (plan) => stepMs(times, plan),
    onStep: (_, ms) => {
      held += ms * cache.pool.numUsed;
      for (const { ids, blocks } of scheduler.progress(0)) {
        without += ms * ids.length * blocks.length;
      }
    },
  });
  return 1 - held / without;
}
