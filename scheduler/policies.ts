/** Policies that decide the order of service. */
export type SchedulingPolicy = 'fcfs' | 'priority';

/**
 * Milliseconds of waiting that one step of priority is worth. So a request of low priority can be
 * overtaken only by requests that arrive within a bounded time after it, and never starves.
 */
export const PRIORITY_STEP_MS = 10_000;

/** A request's rank, fixed at arrival: the smaller rank is served first. */
export function rankOf(policy: SchedulingPolicy, arrivalTime: number, priority: number): number {
  return policy === 'fcfs' ? arrivalTime : arrivalTime + priority * PRIORITY_STEP_MS;
}

export interface Ranked {
  readonly rank: number;
  /** Order of creation: decides between equal ranks. */
  readonly order: number;
}

/** Negative when `a` is served before `b`. A total order, so decisions are deterministic. */
export function compareRank(a: Ranked, b: Ranked): number {
  return a.rank - b.rank || a.order - b.order;
}

/**
 * The running request that loses its blocks first: the last in order of service, which is the order
 * of `running`.
 */
export function preemptionVictim<R extends Ranked>(running: readonly R[]): R {
  const victim = running.at(-1);
  if (victim === undefined) throw new Error('nothing runs, nothing can be preempted');
  return victim;
}

/**
 * Number of a prompt's pending tokens that one step computes; a threshold of 0 means no limit but
 * the budget.
 */
export function chunkSize(pending: number, budget: number, longPrefillThreshold: number): number {
  const limit = longPrefillThreshold > 0 ? Math.min(budget, longPrefillThreshold) : budget;
  return Math.min(pending, limit);
}
