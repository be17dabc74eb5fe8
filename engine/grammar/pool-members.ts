import type { GrammarConstraint, GrammarRequest } from '../core/grammar-source.js';
import { compilingShareOf, countByClient, shareOf } from '../job-pool/fair-share.js';
import type { GrammarThreadHost } from './grammar-thread-host.js';

/** Maximum number of grammars that one thread keeps. */
const MAX_GRAMMARS = 64;

/** A request that waits for its grammar. */
export interface Job {
  readonly key: string;
  readonly client: string;
  readonly request: GrammarRequest;
  readonly signal: AbortSignal;
  readonly resolve: (constraints: readonly GrammarConstraint[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A thread and its present work. */
export interface Member {
  readonly host: GrammarThreadHost;
  /** Jobs that are compiled one after the other; null when none is. */
  batch: Job[] | null;
  /** The job whose grammar is being compiled; null between two jobs. */
  compiling: Job | null;
  /**
   * Takes no more requests until its matchers are gone, because other requests wait for a thread.
   */
  isDraining: boolean;
  /**
   * All clients of what it compiles have left: the thread is ended unless the compilation finishes
   * within `LAST_MS`.
   */
  isGivenUp: boolean;
}

/** The threads of a pool, and which clients may have one of them. */
export class PoolMembers {
  readonly #maxThreads: number;
  readonly #members = new Set<Member>();

  constructor(maxThreads: number) {
    this.#maxThreads = maxThreads;
  }

  get size(): number {
    return this.#members.size;
  }

  /** Whether there are as many threads as there may be. */
  get isFull(): boolean {
    return this.#members.size >= this.#maxThreads;
  }

  [Symbol.iterator](): Iterator<Member> {
    return this.#members.values();
  }

  add(member: Member): void {
    this.#members.add(member);
  }

  delete(member: Member): void {
    this.#members.delete(member);
  }

  /**
   * The number of threads that each client occupies: those that compile for it, or whose matchers
   * are all its own.
   */
  threadsByClient(): Map<string, number> {
    return countByClient([...this.#members].flatMap((member) => usersOf(member)));
  }

  isWithinShare(client: string, busy: ReadonlyMap<string, number>): boolean {
    const compiling = [...this.#members].filter(
      (member) => member.batch !== null && usersOf(member).includes(client),
    );
    return (
      (busy.get(client) ?? 0) < shareOf(this.#maxThreads) &&
      compiling.length < compilingShareOf(this.#maxThreads)
    );
  }

  /**
   * Drains a thread that the jobs may use: their clients must be within their shares, or the thread
   * is one of their own.
   */
  drainOne(jobs: readonly Job[]): void {
    const members = [...this.#members].filter(({ batch }) => batch === null);
    if (members.length === 0 || members.some(({ isDraining }) => isDraining)) return;
    const busy = this.threadsByClient();
    const useful = members.filter((member) =>
      jobs.some(
        ({ client }) => this.isWithinShare(client, busy) || usersOf(member).includes(client),
      ),
    );
    if (useful.length === 0) return;
    useful.reduce((a, b) => (b.host.live < a.host.live ? b : a)).isDraining = true;
  }
}

/** The clients for whom a thread works alone; empty when it is free or several clients use it. */
export function usersOf({ host, batch, compiling }: Member): string[] {
  if (batch !== null)
    return [(compiling ?? batch[0])?.client].filter((client) => client !== undefined);
  const [first, ...others] = host.clients;
  return first === undefined || others.length > 0 ? [] : [first];
}

/** Whether the job may join the batch that the thread is compiling. */
export function takesAlong(
  { host, batch, compiling, isGivenUp }: Member,
  job: Job,
  patienceMs: number,
): boolean {
  if (batch === null || isGivenUp) return false;
  const isOwn = compiling?.client === job.client || compiling?.key === job.key;
  return isOwn || host.compilingMs < patienceMs;
}

/** The next job of a batch whose grammar is not compiled yet. */
export function nextToCompile({ host, batch }: Member): Job | undefined {
  return batch?.find(({ key, signal }) => !signal.aborted && !host.grammars.has(key));
}

export async function match({ host }: Member, job: Job): Promise<void> {
  if (job.signal.aborted) return;
  try {
    const constraints = await host.match(job.key, job.request);
    if (job.signal.aborted) for (const constraint of constraints) constraint.dispose();
    else job.resolve(constraints);
  } catch (error) {
    job.reject(error);
  }
}

/** A thread's memory never shrinks, but freed memory is used again. */
export function forgetUnused(
  host: GrammarThreadHost,
  keep: ReadonlySet<string>,
  threadMemoryBytes: number,
): void {
  for (const [key, { live }] of host.grammars) {
    if (host.memoryBytes <= threadMemoryBytes && host.grammars.size <= MAX_GRAMMARS) return;
    if (live === 0 && !keep.has(key)) host.forget(key);
  }
}
