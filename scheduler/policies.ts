/** How the order of service is decided. */
export type SchedulingPolicy = 'fcfs' | 'priority';

/**
 * One step of priority is worth this much waiting. So a request of low priority is overtaken only by those that arrive within
 * a bounded time after it, and never starves.
 */
export const PRIORITY_STEP_MS = 10_000;

/** Where a request stands in line, fixed at arrival: the smaller rank is served first. */
export function rankOf(policy: SchedulingPolicy, arrivalTime: number, priority: number): number {
  return policy === 'fcfs' ? arrivalTime : arrivalTime + priority * PRIORITY_STEP_MS;
}

export interface Ranked {
  readonly rank: number;
  /** Order of creation: decides between equal ranks. */
  readonly order: number;
}

/** Negative when `a` is served before `b`. A total order, so no decision depends on chance. */
export function compareRank(a: Ranked, b: Ranked): number {
  return a.rank - b.rank || a.order - b.order;
}

/** The running request that loses its blocks first: the one that is served last. `running` is in order of service. */
export function preemptionVictim<R extends Ranked>(running: readonly R[]): R {
  const victim = running.at(-1);
  if (victim === undefined) throw new Error('nothing runs, nothing can be preempted');
  return victim;
}

/** The most tokens of a prompt that one step takes on; 0 means no limit but the budget. */
export function chunkSize(pending: number, budget: number, longPrefillThreshold: number): number {
  const limit = longPrefillThreshold > 0 ? Math.min(budget, longPrefillThreshold) : budget;
  return Math.min(pending, limit);
}
