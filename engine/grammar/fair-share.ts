/** Work that waits for a thread, and whose it is. */
export interface Waiting {
  readonly client: string;
}

/**
 * Whose turn it is: those of the clients that use the fewest threads now come first, and of these
 * the one that has waited longest.
 *
 * @param waiting in order of arrival
 * @param busy threads that each client uses; absent: none
 */
export function inTurn<Job extends Waiting>(
  waiting: readonly Job[],
  busy: ReadonlyMap<string, number>,
): Job[] {
  const used = ({ client }: Job): number => busy.get(client) ?? 0;
  return waiting.toSorted((a, b) => used(a) - used(b));
}

/**
 * Threads that one client may use of so many: one is left for the others, whatever a client sends.
 */
export const shareOf = (threads: number): number => Math.max(1, threads - 1);

/**
 * Threads on which one client may compile at once: compiling takes a whole processor, matching a
 * fraction.
 */
export const compilingShareOf = (threads: number): number => Math.max(1, threads >> 1);

/** How many threads each client uses. */
export function countByClient(clients: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const client of clients) counts.set(client, (counts.get(client) ?? 0) + 1);
  return counts;
}
