import { OctavoError } from '../errors.js';
import { countByClient, inTurn, shareOf } from './fair-share.js';
import { JobThread, type ThreadProgram } from './job-thread.js';

/** Who waits for a job. */
export interface Asker {
  /** The client whose share of the threads is used. */
  readonly client: string;
  /** Aborted when the client has left. */
  readonly signal: AbortSignal;
}

export interface JobPoolOptions {
  readonly maxThreads: number;
  /** Milliseconds for one job. */
  readonly budgetMs: number;
  /**
   * Bytes that the jobs that wait may hold together, of which a client may have half. A job that
   * waits alone may be larger.
   */
  readonly maxWaitingBytes?: number;
}

export interface JobOptions extends Asker {
  /** Jobs with the same key have the same result: those that wait share the first one's. */
  readonly key?: string;
  /** Memory that the job holds while it waits. */
  readonly bytes?: number;
}

/**
 * Milliseconds that a job may still take once its client has left: most end by then, and their
 * thread is kept.
 */
const LAST_MS = 250;

/** A job that waits or is being done. */
interface Job<Work, Result> extends JobOptions {
  readonly work: Work;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

interface Member<Work, Result> {
  readonly thread: JobThread<Work, Result>;
  job: Job<Work, Result> | null;
}

/**
 * Does in separate threads what takes long for some input of clients: however long one job takes,
 * other requests do not wait for it. Each job has a budget, clients share the threads fairly, and
 * jobs of clients that have left are given up.
 *
 * No thread runs before the first job.
 */
export class JobPool<Work, Result> {
  readonly #program: ThreadProgram<Work>;
  readonly #options: JobPoolOptions;
  readonly #members = new Set<Member<Work, Result>>();
  #waiting: Job<Work, Result>[] = [];
  #isClosed = false;

  constructor(program: ThreadProgram<Work>, options: JobPoolOptions) {
    this.#program = program;
    this.#options = options;
  }

  /** For tests. */
  get threads(): number {
    return this.#members.size;
  }

  /**
   * @param work plain data; a copy crosses to the thread
   * @throws OctavoError the job's own error; that of a job that exceeds its budget; `overloaded`
   *   when too much waits; `internal` when the thread ends; `draining` when the pool is closed
   * @throws the reason of the signal when it is aborted
   */
  async run(work: Work, options: JobOptions): Promise<Result> {
    const { signal } = options;
    signal.throwIfAborted();
    if (this.#isClosed) throw closing();
    this.#assertRoom(options);
    let leave = (): void => undefined;
    try {
      return await new Promise<Result>((resolve, reject) => {
        const job: Job<Work, Result> = { ...options, work, resolve, reject };
        leave = () => {
          reject(signal.reason);
          this.#waiting = this.#waiting.filter((other) => other !== job);
          for (const member of this.#members) if (member.job === job) member.thread.hurry(LAST_MS);
        };
        signal.addEventListener('abort', leave, { once: true });
        this.#waiting.push(job);
        this.#place();
      });
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(closing());
    await Promise.all([...this.#members].map(({ thread }) => thread.close()));
  }

  #assertRoom({ client, bytes = 0 }: JobOptions): void {
    const { maxWaitingBytes = Infinity } = this.#options;
    const assert = (jobs: readonly Job<Work, Result>[], most: number): void => {
      const held = jobs.reduce((sum, job) => sum + (job.bytes ?? 0), 0);
      if (held === 0 || held + bytes <= most) return;
      const message = `the server is overloaded: jobs of ${Math.ceil(held / 2 ** 20)} MiB wait for a thread that ${this.#program.does}`;
      throw new OctavoError('overloaded', message, { retryAfterSeconds: 1 });
    };
    assert(this.#waiting, maxWaitingBytes);
    assert(
      this.#waiting.filter((job) => job.client === client),
      maxWaitingBytes / 2,
    );
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

  #idle(): Member<Work, Result> | undefined {
    return [...this.#members].find(({ thread, job }) => job === null && thread.isIdle);
  }

  #spawn(): Member<Work, Result> | null {
    if (this.#members.size >= this.#options.maxThreads) return null;
    const onEnd = (): void => {
      this.#members.delete(member);
      this.#place();
    };
    const member: Member<Work, Result> = { thread: new JobThread(this.#program, onEnd), job: null };
    this.#members.add(member);
    return member;
  }

  async #run(member: Member<Work, Result>, job: Job<Work, Result>): Promise<void> {
    const { thread } = member;
    member.job = job;
    let settle: (job: Job<Work, Result>) => void;
    try {
      const result = await thread.run(job.work, this.#options.budgetMs);
      settle = ({ resolve }) => resolve(result);
    } catch (error) {
      settle = ({ reject }) => reject(error);
    }
    member.job = null;
    // A job that was cut short because its client has left says nothing about others of its key.
    const wasCut = job.signal.aborted && !thread.isIdle;
    const same = this.#waiting.filter(({ key }) => key !== undefined && key === job.key && !wasCut);
    this.#waiting = this.#waiting.filter((other) => !same.includes(other));
    for (const each of [job, ...same]) settle(each);
    this.#place();
  }
}

const closing = (): OctavoError => new OctavoError('draining', 'the server is shutting down');
