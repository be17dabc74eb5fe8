import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { Scheduler } from '../../scheduler/scheduler.js';
import type { RequestSpec } from '../../scheduler/sequence.js';
import type { SequenceUpdate, StepPlan } from '../../scheduler/step-plan.js';

/** Ends an output: no prompt has it. */
export const STOP = -1 as TokenId;

/** A request, and what the model would answer. */
export interface SimulatedRequest {
  /** Milliseconds. */
  readonly arrivalMs: number;
  readonly promptTokenIds: readonly TokenId[];
  /** Of each of its sequences; at least 1, at most `maxTokens`. */
  readonly outputTokens: number;
  /** What the client allows. */
  readonly maxTokens: number;
  /** Sequences; default 1. */
  readonly n?: number;
  /** The tokens that are generated; default: tokens that no other has. */
  readonly outputTokenIds?: readonly TokenId[];
  readonly more?: Partial<Pick<RequestSpec, 'tenant' | 'route' | 'priority' | 'reuse'>>;
}

/** When a request was served, in milliseconds; entries as the requests. */
export interface ServedRequest {
  readonly arrivalMs: number;
  /** Of its first step. */
  startMs: number;
  firstTokenMs: number;
  /** Of its last sequence. */
  endMs: number;
  cachedTokens: number;
}

export interface Simulation {
  readonly served: readonly ServedRequest[];
  readonly preemptions: number;
  /** Milliseconds in which steps were computed. */
  readonly busyMs: number;
  /** Mean number of sequences in a step, by time. */
  readonly meanBatch: number;
}

export interface SimulationOptions {
  readonly scheduler: Scheduler;
  /** By arrival. */
  readonly requests: readonly SimulatedRequest[];
  /** Milliseconds that a step takes. */
  readonly stepMs: (plan: StepPlan) => number;
  /** Told of each step and its milliseconds, before its results are applied. */
  readonly onStep?: (plan: StepPlan, ms: number, nowMs: number) => void;
  /** Requests that have not ended by then are left out; default: all end. */
  readonly untilMs?: number;
}

/** Plays requests on a scheduler with a clock of its own: the model is its step times. */
export function simulate(options: SimulationOptions): Simulation {
  const { scheduler, requests, stepMs, onStep, untilMs = Number.POSITIVE_INFINITY } = options;
  const served = requests.map(({ arrivalMs }) => ({
    arrivalMs,
    startMs: Number.NaN,
    firstTokenMs: Number.NaN,
    endMs: Number.NaN,
    cachedTokens: 0,
  }));
  const indexes = new Map<SequenceId, number>();
  const written = new Map<SequenceId, number>();
  const left = requests.map(({ n = 1 }) => n);
  let [now, next, busyMs, batch] = [0, 0, 0, 0];
  const add = (): void => {
    for (; next < requests.length && requests[next].arrivalMs <= now; next++) {
      const refusal = scheduler.add(specOf(requests[next], next));
      if (refusal) throw new Error(`request ${next} is refused: ${refusal.reason}`);
      for (const id of idsOf(requests[next], next)) indexes.set(id, next);
    }
  };
  while ((next < requests.length || scheduler.hasWork) && now < untilMs) {
    add();
    const plan = scheduler.schedule();
    if (!plan) {
      if (next === requests.length) throw new Error('nothing can run, and requests are left');
      now = requests[next].arrivalMs;
      continue;
    }
    const ms = stepMs(plan);
    onStep?.(plan, ms, now);
    for (const { id } of plan.sequences) {
      const request = served[indexes.get(id) as number];
      if (Number.isNaN(request.startMs)) request.startMs = now;
    }
    now += ms;
    busyMs += ms;
    batch += ms * plan.sequences.length;
    for (const { id, finishReason, cachedTokens } of scheduler.apply(plan, updatesOf(plan))) {
      const index = indexes.get(id) as number;
      const request = served[index];
      if (Number.isNaN(request.firstTokenMs)) {
        request.firstTokenMs = now;
        request.cachedTokens = cachedTokens;
      }
      if (finishReason === null) continue;
      indexes.delete(id);
      written.delete(id);
      left[index] -= 1;
      if (left[index] === 0) request.endMs = now;
    }
  }
  return { served, preemptions: scheduler.numPreemptions, busyMs, meanBatch: batch / busyMs };

  function updatesOf(plan: StepPlan): SequenceUpdate[] {
    return plan.sequences.flatMap(({ sampledFor }) =>
      sampledFor.map((id) => {
        const index = indexes.get(id) as number;
        const { outputTokens, outputTokenIds } = requests[index];
        const place = written.get(id) ?? 0;
        written.set(id, place + 1);
        const own = (2 ** 30 + index * 4096 + place) as TokenId;
        const token = place + 1 === outputTokens ? STOP : (outputTokenIds?.[place] ?? own);
        return { id, tokenIds: [token] };
      }),
    );
  }
}

function idsOf({ n = 1 }: SimulatedRequest, index: number): SequenceId[] {
  return Array.from({ length: n }, (_, choice) => `${index}-${choice}` as SequenceId);
}

function specOf(request: SimulatedRequest, index: number): RequestSpec {
  const { arrivalMs, promptTokenIds, maxTokens, more } = request;
  return {
    ids: idsOf(request, index),
    promptTokenIds,
    maxTokens,
    stopTokenIds: [STOP],
    priority: 0,
    arrivalTime: arrivalMs,
    cacheSalt: null,
    computesWholePrompt: false,
    ...more,
  };
}
