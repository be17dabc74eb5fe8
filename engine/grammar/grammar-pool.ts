import type { GrammarConstraint, GrammarRequest, GrammarSource } from '../core/grammar-source.js';
import { OctavoError } from '../errors.js';
import { compilingShareOf, countByClient, inTurn, shareOf } from './fair-share.js';
import { GrammarThreadHost } from './grammar-thread-host.js';
import type { GrammarThreadOptions } from './messages.js';

export interface GrammarPoolOptions extends GrammarThreadOptions {
  /** Maximum number of threads; each takes some 40 MB with 152k tokens. */
  readonly maxThreads: number;
  /** Memory of one thread's instance above which compiled grammars are dropped. */
  readonly threadMemoryBytes: number;
  readonly compileTimeoutMs: number;
  /**
   * After this many milliseconds, a compilation serves only its own client: jobs of other clients
   * in its batch look for another thread.
   */
  readonly patienceMs?: number;
}

export const GRAMMAR_DEFAULTS = {
  maxThreads: 5,
  threadMemoryBytes: 256 * 2 ** 20,
  compileTimeoutMs: 30_000,
} as const;

/** Maximum number of grammars that one thread keeps. */
const MAX_GRAMMARS = 64;
/** Maximum number of waiting grammars that are compiled in one batch when threads are scarce. */
const MAX_BATCH = 8;
const PATIENCE_MS = 500;
/**
 * Milliseconds that a compilation may still take once its clients have left: most end by then, and
 * the thread's other grammars are kept.
 */
const LAST_MS = 250;

/** A request that waits for its grammar. */
interface Job {
  readonly key: string;
  readonly client: string;
  readonly request: GrammarRequest;
  readonly signal: AbortSignal;
  readonly resolve: (constraints: readonly GrammarConstraint[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A thread and its present work. */
interface Member {
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

/**
 * Assigns grammars to grammar threads. Each thread has one instance of the library. A compiled
 * grammar cannot leave its instance; a compilation (0.3 to 1 s with 152k tokens) cannot be
 * interrupted; and some grammars abort the instance. Hence the rule:
 *
 *     a thread compiles only while none of its matchers is in use
 *
 * Then no step ever waits for a compilation, and an abort fails only the request that caused it.
 * The threads compute masks while the model computes, so masks cost the engine's thread next to
 * nothing. Rejected alternatives: matchers in the engine's thread (a compilation stops all
 * requests), one thread for everything (a compilation delays all masks), copying the instance's
 * memory to move a compiled grammar (30 MB, and it depends on embind's internals).
 *
 * When all threads are in use and requests with other grammars wait, the thread with the fewest
 * matchers is drained: it takes no new ones, and its last one ends at its `max_tokens` at the
 * latest, so no request waits forever. Nothing is loaded, and no thread runs, before the first
 * request with a grammar.
 *
 * No client can occupy all threads, or compile on more than half of them: a client that uses its
 * full share waits for one of its own threads. A compilation whose clients have all left is ended
 * with its thread.
 */
export class GrammarPool implements GrammarSource {
  readonly #options: GrammarPoolOptions;
  readonly #members = new Set<Member>();
  #queue: Job[] = [];
  #isClosed = false;

  constructor(options: GrammarPoolOptions) {
    this.#options = options;
  }

  /** For tests and metrics. */
  get threads(): number {
    return this.#members.size;
  }

  constrain(request: GrammarRequest, signal: AbortSignal): Promise<readonly GrammarConstraint[]> {
    if (this.#isClosed) return Promise.reject(new OctavoError('draining', 'the engine is closing'));
    if (request.eosTokenIds.length === 0) {
      const message = 'structured output needs a model with an end-of-text token';
      return Promise.reject(new OctavoError('invalid_request', message));
    }
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const key = JSON.stringify(request.spec);
      const job: Job = { key, client: request.client, request, signal, resolve, reject };
      const leave = (): void => {
        reject(signal.reason);
        this.#giveUp(job);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#queue.push(job);
      this.#place();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const job of this.#queue.splice(0)) {
      job.reject(new OctavoError('draining', 'the engine is closing'));
    }
    const members = [...this.#members];
    for (const job of members.flatMap(({ batch }) => batch ?? [])) {
      job.reject(new OctavoError('draining', 'the engine is closing'));
    }
    await Promise.all(members.map(({ host }) => host.close()));
  }

  /** Called when a job's client has left. A compilation whose clients have all left ends soon. */
  #giveUp(job: Job): void {
    this.#queue = this.#queue.filter((other) => other !== job);
    for (const member of this.#members) {
      const { host, batch, compiling } = member;
      const isWanted = batch?.some(({ key, signal }) => key === compiling?.key && !signal.aborted);
      if (compiling?.key !== job.key || isWanted !== false) continue;
      member.isGivenUp = true;
      host.hurry(LAST_MS);
    }
  }

  /** Assigns threads to waiting jobs; jobs of clients that use the fewest threads come first. */
  #place(): void {
    if (this.#queue.length === 0) return;
    const waiting = this.#queue.filter(({ signal }) => !signal.aborted);
    let busy = this.#threadsByClient();
    const placed = new Set<Job>();
    for (const job of inTurn(waiting, busy)) {
      if (!this.#placeJob(job, this.#isWithinShare(job.client, busy))) continue;
      placed.add(job);
      busy = this.#threadsByClient();
    }
    this.#queue = waiting.filter((job) => !placed.has(job));
    if (this.#queue.length > 0) this.#drainOne(this.#queue);
  }

  /**
   * The number of threads that each client occupies: those that compile for it, or whose matchers
   * are all its own.
   */
  #threadsByClient(): Map<string, number> {
    return countByClient([...this.#members].flatMap((member) => usersOf(member)));
  }

  #isWithinShare(client: string, busy: ReadonlyMap<string, number>): boolean {
    const { maxThreads } = this.#options;
    const compiling = [...this.#members].filter(
      (member) => member.batch !== null && usersOf(member).includes(client),
    );
    return (
      (busy.get(client) ?? 0) < shareOf(maxThreads) &&
      compiling.length < compilingShareOf(maxThreads)
    );
  }

  #placeJob(job: Job, isWithinShare: boolean): boolean {
    const members = [...this.#members];
    const willing = members.filter((member) => this.#takesAlong(member, job));
    const joined =
      willing.find(({ batch }) => batch?.some(({ key }) => key === job.key)) ??
      willing.find(({ host }) => host.grammars.has(job.key));
    if (joined?.batch) {
      joined.batch.push(job);
      return true;
    }
    const holder = members.find(
      ({ host, batch, isDraining }) => batch === null && !isDraining && host.grammars.has(job.key),
    );
    if (holder) {
      void this.#match(holder, job);
      return true;
    }
    const free = isWithinShare
      ? (members.find(({ host, batch }) => batch === null && host.live === 0) ?? this.#spawn())
      : null;
    if (free) {
      void this.#compile(free, [job]);
      return true;
    }
    // When no thread is free, a thread that has just begun to compile accepts a few more jobs;
    // later it accepts only its own client's.
    const isLast = !isWithinShare || members.length >= this.#options.maxThreads;
    const withRoom = willing.find(
      (member) =>
        (member.batch?.length ?? 0) < MAX_BATCH &&
        (isWithinShare || usersOf(member).includes(job.client)),
    );
    if (!isLast || !withRoom?.batch) return false;
    withRoom.batch.push(job);
    return true;
  }

  /** Whether the job may join the batch that the thread is compiling. */
  #takesAlong({ host, batch, compiling, isGivenUp }: Member, job: Job): boolean {
    if (batch === null || isGivenUp) return false;
    const isOwn = compiling?.client === job.client || compiling?.key === job.key;
    return isOwn || host.compilingMs < this.#patienceMs;
  }

  #spawn(): Member | null {
    if (this.#members.size >= this.#options.maxThreads) return null;
    const member: Member = {
      host: new GrammarThreadHost(this.#options, () => this.#onIdle(member)),
      batch: null,
      compiling: null,
      isDraining: false,
      isGivenUp: false,
    };
    this.#members.add(member);
    return member;
  }

  /**
   * Drains a thread that the jobs may use: their clients must be within their shares, or the thread
   * is one of their own.
   */
  #drainOne(jobs: readonly Job[]): void {
    const members = [...this.#members].filter(({ batch }) => batch === null);
    if (members.length === 0 || members.some(({ isDraining }) => isDraining)) return;
    const busy = this.#threadsByClient();
    const useful = members.filter((member) =>
      jobs.some(
        ({ client }) => this.#isWithinShare(client, busy) || usersOf(member).includes(client),
      ),
    );
    if (useful.length === 0) return;
    useful.reduce((a, b) => (b.host.live < a.host.live ? b : a)).isDraining = true;
  }

  get #patienceMs(): number {
    return this.#options.patienceMs ?? PATIENCE_MS;
  }

  /** When a compilation takes long, jobs of other clients in its batch look for another thread. */
  #separate(member: Member): void {
    const { host, batch, compiling } = member;
    if (!batch || !compiling || host.compilingMs < this.#patienceMs) return;
    const isOwn = (job: Job): boolean =>
      job.client === compiling.client || job.key === compiling.key;
    const others = batch.filter((job) => !isOwn(job));
    if (others.length === 0) return;
    member.batch = batch.filter(isOwn);
    this.#queue.unshift(...others);
    this.#place();
  }

  /**
   * Compiles jobs one after the other; more may join. Their matching begins together, when all are
   * compiled.
   */
  async #compile(member: Member, batch: Job[]): Promise<void> {
    const { host } = member;
    member.batch = batch;
    for (let job = this.#toCompile(member); job; job = this.#toCompile(member)) {
      const { key } = job;
      member.compiling = job;
      const watch = setInterval(() => this.#separate(member), this.#patienceMs).unref();
      try {
        await host.compile(key, job.request.spec, this.#options.compileTimeoutMs);
        this.#forgetSome(host, new Set(member.batch.map((other) => other.key)));
      } catch (error) {
        // The rest of the batch goes on without the failed grammar.
        for (const same of member.batch.filter((other) => other.key === key)) same.reject(error);
        member.batch = member.batch.filter((other) => other.key !== key);
        if (host.hasEnded) break;
      } finally {
        clearInterval(watch);
        member.compiling = null;
        member.isGivenUp = false;
      }
    }
    const jobs = member.batch;
    member.batch = null;
    if (host.hasEnded) this.#queue.unshift(...jobs);
    else await Promise.all(jobs.map((job) => this.#match(member, job)));
    this.#onIdle(member);
  }

  /** The next job of a batch whose grammar is not compiled yet. */
  #toCompile({ host, batch }: Member): Job | undefined {
    return batch?.find(({ key, signal }) => !signal.aborted && !host.grammars.has(key));
  }

  async #match({ host }: Member, job: Job): Promise<void> {
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
  #forgetSome(host: GrammarThreadHost, keep: ReadonlySet<string>): void {
    const { threadMemoryBytes } = this.#options;
    for (const [key, { live }] of host.grammars) {
      if (host.memoryBytes <= threadMemoryBytes && host.grammars.size <= MAX_GRAMMARS) return;
      if (live === 0 && !keep.has(key)) host.forget(key);
    }
  }

  #onIdle(member: Member): void {
    const { host } = member;
    if (host.hasEnded) this.#members.delete(member);
    else if (member.batch !== null || host.live > 0) return;
    else if (host.memoryBytes > this.#options.threadMemoryBytes) {
      this.#members.delete(member);
      void host.close();
    }
    member.isDraining = false;
    if (!this.#isClosed) this.#place();
  }
}

/** The clients for whom a thread works alone; empty when it is free or several clients use it. */
function usersOf({ host, batch, compiling }: Member): string[] {
  if (batch !== null)
    return [(compiling ?? batch[0])?.client].filter((client) => client !== undefined);
  const [first, ...others] = host.clients;
  return first === undefined || others.length > 0 ? [] : [first];
}
