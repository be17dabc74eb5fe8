import { createHash } from 'node:crypto';
import { OctavoError } from '../errors.js';
import type { GrammarCheck } from './check-messages.js';
import { CheckThreadHost } from './check-thread-host.js';
import { countByClient, inTurn, shareOf } from './fair-share.js';
import { assertShort } from './sizes.js';

export interface GrammarCheckerOptions {
  readonly maxThreads: number;
  /** Milliseconds for all grammars of one request. */
  readonly budgetMs: number;
}

export const CHECKER_DEFAULTS = { maxThreads: 2, budgetMs: 5000 } as const;

/**
 * Milliseconds that a check may still take once its client has left: most end by then, and their
 * thread is kept.
 */
const LAST_MS = 250;

/** Number of requests whose verdicts are kept. */
const MAX_KNOWN = 1000;

/** A request that is queued or being checked. */
interface Job {
  readonly client: string;
  readonly key: string;
  readonly checks: readonly GrammarCheck[];
  readonly signal: AbortSignal;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Member {
  readonly host: CheckThreadHost;
  job: Job | null;
}

/**
 * Checks in separate threads whether grammars can be enforced: schemas, patterns and tools come
 * from clients, and however long one takes, other requests do not wait for it. Each request has a
 * budget, clients share the threads fairly, and checks of clients that have left are given up.
 *
 * No thread runs before the first grammar.
 */
export class GrammarChecker {
  readonly #options: GrammarCheckerOptions;
  readonly #members = new Set<Member>();
  #waiting: Job[] = [];
  /** Verdicts by digest, least recently used first; null when the grammar can be enforced. */
  readonly #known = new Map<string, OctavoError | null>();
  #isClosed = false;

  constructor(options: GrammarCheckerOptions = CHECKER_DEFAULTS) {
    this.#options = options;
  }

  /** For tests. */
  get threads(): number {
    return this.#members.size;
  }

  /**
   * @param client the client whose share of the threads is used
   * @param signal aborted when the client has left
   * @throws OctavoError `invalid_request`: names what cannot be enforced and where, or what is too
   *   large. `draining` when it is closed
   * @throws the reason of `signal` when it is aborted
   */
  async check(checks: readonly GrammarCheck[], client: string, signal: AbortSignal): Promise<void> {
    if (checks.length === 0) return;
    signal.throwIfAborted();
    for (const { spec, field } of checks) assertShortField(spec, field);
    const key = createHash('sha256').update(JSON.stringify(checks)).digest('base64');
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#remember(key, known);
      if (known) throw known;
      return;
    }
    if (this.#isClosed) throw closing();
    return new Promise((resolve, reject) => {
      const job: Job = { client, key, checks, signal, resolve, reject };
      const leave = (): void => {
        reject(signal.reason);
        this.#waiting = this.#waiting.filter((other) => other !== job);
        for (const member of this.#members) if (member.job === job) member.host.hurry(LAST_MS);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(job);
      this.#place();
    });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(closing());
    await Promise.all([...this.#members].map(({ host }) => host.close()));
  }

  #place(): void {
    const share = shareOf(this.#options.maxThreads);
    while (!this.#isClosed) {
      const jobs = [...this.#members].map(({ job }) => job).filter((job) => job !== null);
      const busy = countByClient(jobs.map(({ client }) => client));
      const next = inTurn(this.#waiting, busy).find(
        ({ client }) => (busy.get(client) ?? 0) < share,
      );
      const member = next && (this.#idle() ?? this.#spawn());
      if (!member) return;
      this.#waiting = this.#waiting.filter((job) => job !== next);
      void this.#run(member, next);
    }
  }

  #idle(): Member | undefined {
    return [...this.#members].find(({ host, job }) => job === null && host.isIdle);
  }

  #spawn(): Member | null {
    if (this.#members.size >= this.#options.maxThreads) return null;
    const member: Member = {
      host: new CheckThreadHost(() => {
        this.#members.delete(member);
        this.#place();
      }),
      job: null,
    };
    this.#members.add(member);
    return member;
  }

  async #run(member: Member, job: Job): Promise<void> {
    member.job = job;
    let error: unknown = null;
    try {
      await member.host.check(job.checks, this.#options.budgetMs);
    } catch (thrown) {
      error = thrown;
    }
    member.job = null;
    // When the thread has ended, the verdict is not kept: on a less busy machine the check may be
    // in time.
    if (member.host.isIdle) {
      if (error === null) this.#remember(job.key, null);
      else if (isRefusal(error)) this.#remember(job.key, error);
    }
    // A check that was cut short because its client has left is no verdict for other requests.
    const wasCut = job.signal.aborted && !member.host.isIdle;
    const settled = this.#waiting.filter(({ key }) => key === job.key && !wasCut);
    this.#waiting = this.#waiting.filter((other) => !settled.includes(other));
    for (const { resolve, reject } of [job, ...settled]) {
      if (error === null) resolve();
      else reject(error);
    }
    this.#place();
  }

  #remember(key: string, verdict: OctavoError | null): void {
    this.#known.delete(key);
    this.#known.set(key, verdict);
    if (this.#known.size <= MAX_KNOWN) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}

const isRefusal = (error: unknown): error is OctavoError =>
  error instanceof OctavoError && error.kind === 'invalid_request';

const closing = (): OctavoError => new OctavoError('draining', 'the server is shutting down');

function assertShortField(spec: GrammarCheck['spec'], field: string | null): void {
  try {
    assertShort(spec);
  } catch (error) {
    if (field === null || !(error instanceof OctavoError)) throw error;
    throw new OctavoError(error.kind, `${field}: ${error.message}`, { param: field, cause: error });
  }
}
