import type { GrammarConstraint, GrammarRequest, GrammarSource } from '../core/grammar-source.js';
import { OctavoError } from '../errors.js';
import { inTurn } from '../job-pool/fair-share.js';
import { GrammarThreadHost } from './grammar-thread-host.js';
import type { GrammarThreadOptions } from './messages.js';
import {
  forgetUnused,
  type Job,
  type Member,
  match,
  nextToCompile,
  PoolMembers,
  takesAlong,
  usersOf,
} from './pool-members.js';

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

/** Maximum number of waiting grammars that are compiled in one batch when threads are scarce. */
const MAX_BATCH = 8;
const PATIENCE_MS = 500;
/**
 * Milliseconds that a compilation may still take once its clients have left: most end by then, and
 * the thread's other grammars are kept.
 */
const LAST_MS = 250;

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
  readonly #patienceMs: number;
  readonly #members: PoolMembers;
  #queue: Job[] = [];
  #isClosed = false;

  constructor(options: GrammarPoolOptions) {
    this.#options = options;
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#members = new PoolMembers(options.maxThreads);
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
    const members = [...this.#members];
    for (const job of [...this.#queue.splice(0), ...members.flatMap(({ batch }) => batch ?? [])]) {
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
    let busy = this.#members.threadsByClient();
    const placed = new Set<Job>();
    for (const job of inTurn(waiting, busy)) {
      if (!this.#placeJob(job, this.#members.isWithinShare(job.client, busy))) continue;
      placed.add(job);
      busy = this.#members.threadsByClient();
    }
    this.#queue = waiting.filter((job) => !placed.has(job));
    if (this.#queue.length > 0) this.#members.drainOne(this.#queue);
  }

  #placeJob(job: Job, isWithinShare: boolean): boolean {
    const members = [...this.#members];
    const willing = members.filter((member) => takesAlong(member, job, this.#patienceMs));
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
      void match(holder, job);
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
    const isLast = !isWithinShare || this.#members.isFull;
    const withRoom = willing.find(
      (member) =>
        (member.batch?.length ?? 0) < MAX_BATCH &&
        (isWithinShare || usersOf(member).includes(job.client)),
    );
    if (!isLast || !withRoom?.batch) return false;
    withRoom.batch.push(job);
    return true;
  }

  #spawn(): Member | null {
    if (this.#members.isFull) return null;
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
    for (let job = nextToCompile(member); job; job = nextToCompile(member)) {
      const { key } = job;
      member.compiling = job;
      const watch = setInterval(() => this.#separate(member), this.#patienceMs).unref();
      try {
        await host.compile(key, job.request.spec, this.#options.compileTimeoutMs);
        forgetUnused(
          host,
          new Set(member.batch.map((other) => other.key)),
          this.#options.threadMemoryBytes,
        );
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
    else await Promise.all(jobs.map((job) => match(member, job)));
    this.#onIdle(member);
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
