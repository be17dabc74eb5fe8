/** What orders sequences: the smaller rank is served first. */
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
 * The running sequence that loses its blocks first: the last in order of service, which is the
 * order of `running`.
 */
export function preemptionVictim<R extends Ranked>(running: readonly R[]): R {
  const victim = running.at(-1);
  if (victim === undefined) throw new Error('nothing runs, nothing can be preempted');
  return victim;
}
