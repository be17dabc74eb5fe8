import type { GrammarConstraint, GrammarRequest, GrammarSource } from '../core/grammar-source.js';
import { OctavoError } from '../errors.js';
import { GrammarThreadHost } from './grammar-thread-host.js';
import type { GrammarThreadOptions } from './messages.js';

export interface GrammarPoolOptions extends GrammarThreadOptions {
  /** Threads, at most; one takes some 40 MB with 152k tokens. */
  readonly maxThreads: number;
  /** Memory of one thread's instance above which grammars are forgotten. */
  readonly threadMemoryBytes: number;
  readonly compileTimeoutMs: number;
}

export const GRAMMAR_DEFAULTS = {
  maxThreads: 4,
  threadMemoryBytes: 256 * 2 ** 20,
  compileTimeoutMs: 60_000,
} as const;

/** Grammars that one thread keeps, at most. */
const MAX_GRAMMARS = 64;
/** Grammars that wait and are compiled in one go when threads are scarce. */
const MAX_BATCH = 8;

/** A request that waits for its grammar. */
interface Job {
  readonly key: string;
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
  /** Takes no more requests until its matchers are gone: others wait for a thread. */
  isDraining: boolean;
}

/**
 * Grammar threads, and who compiles where. Each thread has one instance of the library; a compiled grammar cannot leave it, and nothing
 * interrupts a compilation (0.3 to 1 s with 152k tokens), which an unlucky grammar may end by aborting the instance. So the rule is:
 *
 *     a thread compiles only while none of its matchers is in use
 *
 * Then no step ever waits for a compilation, and an abort hurts nobody but the request that brought it. Masks are computed in the
 * threads while the model computes, so they cost the engine's thread next to nothing. What was considered instead: matchers in the
 * engine's thread (a compilation there stops all), one thread for everything (a compilation delays all masks), moving a compiled grammar by
 * copying the instance's memory (30 MB, and embind's insides).
 *
 * When all threads are in use and requests with other grammars wait, the one with the fewest matchers is drained: it
 * takes no new ones, and its last one ends at its `max_tokens` at the latest, so nobody waits for ever. Nothing is loaded, and no thread
 * runs, before the first request with a grammar.
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
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      const key = JSON.stringify(request.spec);
      this.#queue.push({ key, request, signal, resolve, reject });
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

  /** Gives the jobs that wait a thread, in their order, as far as there are any. */
  #place(): void {
    const waiting = this.#queue.filter(({ signal }) => !signal.aborted);
    this.#queue = [];
    for (const job of waiting) if (!this.#placeJob(job)) this.#queue.push(job);
    if (this.#queue.length > 0) this.#drainOne();
  }

  #placeJob(job: Job): boolean {
    const members = [...this.#members];
    const compiling = members.find(({ batch }) => batch?.some(({ key }) => key === job.key));
    if (compiling?.batch) {
      compiling.batch.push(job);
      return true;
    }
    const holder = members.find(({ host }) => host.grammars.has(job.key));
    if (holder?.batch) {
      holder.batch.push(job);
      return true;
    }
    if (holder && !holder.isDraining) {
      void this.#match(holder, job);
      return true;
    }
    const free =
      members.find(({ host, batch }) => batch === null && host.live === 0) ?? this.#spawn();
    if (free) {
      void this.#compile(free, [job]);
      return true;
    }
    // No thread is free: those that begin to compile take a few more along, whoever comes first.
    const isLast = members.length >= this.#options.maxThreads;
    const willing = members.find(({ batch }) => batch !== null && batch.length < MAX_BATCH);
    if (isLast && willing?.batch) {
      willing.batch.push(job);
      return true;
    }
    return false;
  }

  #spawn(): Member | null {
    if (this.#members.size >= this.#options.maxThreads) return null;
    const member: Member = {
      host: new GrammarThreadHost(this.#options, () => this.#onIdle(member)),
      batch: null,
      isDraining: false,
    };
    this.#members.add(member);
    return member;
  }

  #drainOne(): void {
    const members = [...this.#members].filter(({ batch }) => batch === null);
    if (members.length === 0 || members.some(({ isDraining }) => isDraining)) return;
    members.reduce((a, b) => (b.host.live < a.host.live ? b : a)).isDraining = true;
  }

  /** Compiles jobs one after the other; more may join. They begin together, when none is left to compile. */
  async #compile(member: Member, batch: Job[]): Promise<void> {
    const { host } = member;
    member.batch = batch;
    for (const job of batch) {
      if (job.signal.aborted || host.grammars.has(job.key)) continue;
      try {
        await host.compile(job.key, job.request.spec, this.#options.compileTimeoutMs);
      } catch (error) {
        for (const same of batch.filter(({ key }) => key === job.key)) same.reject(error);
        member.batch = batch.filter(({ key }) => key !== job.key);
        if (host.hasEnded) break;
        // The rest of the batch goes on, without the one at fault.
        return this.#compile(member, member.batch);
      }
      this.#forgetSome(host, job.key);
    }
    const jobs = member.batch ?? [];
    member.batch = null;
    if (host.hasEnded) this.#queue.unshift(...jobs);
    else await Promise.all(jobs.map((job) => this.#match(member, job)));
    this.#onIdle(member);
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
  #forgetSome(host: GrammarThreadHost, keep: string): void {
    const { threadMemoryBytes } = this.#options;
    for (const [key, { live }] of host.grammars) {
      if (host.memoryBytes <= threadMemoryBytes && host.grammars.size <= MAX_GRAMMARS) return;
      if (live === 0 && key !== keep) host.forget(key);
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
