import type { GrammarConstraint, GrammarRequest, GrammarSource } from '../core/grammar-source.js';
import { OctavoError } from '../errors.js';
import { compilingShareOf, countByClient, inTurn, shareOf } from './fair-share.js';
import { GrammarThreadHost } from './grammar-thread-host.js';
import type { GrammarThreadOptions } from './messages.js';

export interface GrammarPoolOptions extends GrammarThreadOptions {
  /** Threads, at most; one takes some 40 MB with 152k tokens. */
  readonly maxThreads: number;
  /** Memory of one thread's instance above which grammars are forgotten. */
  readonly threadMemoryBytes: number;
  readonly compileTimeoutMs: number;
  /**
   * A compilation that has taken so long is for its own client only: others that came along look
   * for another thread.
   */
  readonly patienceMs?: number;
}

export const GRAMMAR_DEFAULTS = {
  maxThreads: 5,
  threadMemoryBytes: 256 * 2 ** 20,
  compileTimeoutMs: 30_000,
} as const;

/** Grammars that one thread keeps, at most. */
const MAX_GRAMMARS = 64;
/** Grammars that wait and are compiled in one go when threads are scarce. */
const MAX_BATCH = 8;
const PATIENCE_MS = 500;
/**
 * What a compilation may still take when nobody waits for it any more: most end by then, and the
 * thread's other grammars are kept.
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

/** What a thread is doing. */
interface Member {
  readonly host: GrammarThreadHost;
  /** Jobs that are compiled one after the other; null when nothing is compiled. */
  batch: Job[] | null;
  /** Of the grammar that is being compiled; null between two. */
  compiling: Job | null;
  /** Takes no more requests until its matchers are gone: others wait for a thread. */
  isDraining: boolean;
  /**
   * Nobody waits for what it compiles: the thread ends with it, unless that is done in a moment.
   */
  isGivenUp: boolean;
}

/**
 * Grammar threads, and who compiles where. Each thread has one instance of the library; a compiled
 * grammar cannot leave it, and nothing interrupts a compilation (0.3 to 1 s with 152k tokens),
 * which an unlucky grammar may end by aborting the instance. So the rule is:
 *
 *     a thread compiles only while none of its matchers is in use
 *
 * Then no step ever waits for a compilation, and an abort hurts nobody but the request that brought
 * it. Masks are computed in the threads while the model computes, so they cost the engine's thread
 * next to nothing. What was considered instead: matchers in the engine's thread (a compilation
 * there stops all), one thread for everything (a compilation delays all masks), moving a compiled
 * grammar by copying the instance's memory (30 MB, and embind's insides).
 *
 * When all threads are in use and requests with other grammars wait, the one with the fewest
 * matchers is drained: it takes no new ones, and its last one ends at its `max_tokens` at the
 * latest, so nobody waits for ever. Nothing is loaded, and no thread runs, before the first request
 * with a grammar.
 *
 * No client can keep all threads to itself, or compile on more than half of them: one that uses its
 * share waits for a thread of its own. A compilation that nobody waits for any more is ended, with
 * its thread.
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

  /** A job's client has left. What is compiled only for those who have left ends soon. */
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

  /** Gives the jobs that wait a thread: those first whose clients use the fewest. */
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
   * Threads that each client keeps from others: it has one compile, or all its matchers are the
   * client's.
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
    // No thread is free: those that have just begun to compile take a few more along. Later only
    // those of their own client.
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

  /** Whether the job may wait for what the thread is compiling. */
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
   * One that the jobs may have: not beyond their clients' shares, unless it is one of these that
   * ends.
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

  /** A compilation takes long: jobs of others in its batch look for another thread. */
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
   * Compiles jobs one after the other; more may join. They begin together, when none is left to
   * compile.
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
        // The rest of the batch goes on, without the one at fault.
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

  /** The next of a batch whose grammar is not there yet. */
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

  /** A thread's memory never shrinks, but what is freed is used again. */
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

/** The client that has a thread to itself; none: it is free, or several use it. */
function usersOf({ host, batch, compiling }: Member): string[] {
  if (batch !== null)
    return [(compiling ?? batch[0])?.client].filter((client) => client !== undefined);
  const [first, ...others] = host.clients;
  return first === undefined || others.length > 0 ? [] : [first];
}
