/** Work that waits for a thread, with its client. */
export interface Waiting {
  readonly client: string;
}

/**
 * Orders jobs fairly: those of clients that use the fewest threads come first, and among these the
 * job that has waited longest.
 *
 * @param waiting in order of arrival
 * @param busy number of threads that each client uses; absent means none
 */
export function inTurn<Job extends Waiting>(
  waiting: readonly Job[],
  busy: ReadonlyMap<string, number>,
): Job[] {
  const used = ({ client }: Job): number => busy.get(client) ?? 0;
  return waiting.toSorted((a, b) => used(a) - used(b));
}

/** The number of `threads` that one client may use: one is always left for other clients. */
export const shareOf = (threads: number): number => Math.max(1, threads - 1);

/**
 * The number of threads on which one client may compile at once: compiling takes a whole processor,
 * matching a fraction of one.
 */
export const compilingShareOf = (threads: number): number => Math.max(1, threads >> 1);

/** The number of threads that each client uses. */
export function countByClient(clients: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const client of clients) counts.set(client, (counts.get(client) ?? 0) + 1);
  return counts;
}
