import { Worker } from 'node:worker_threads';
import { fromErrorRecord, OctavoError } from '../errors.js';
import type { JobReply } from './serve-jobs.js';

/** What the threads of a pool run, and how errors word it. */
export interface ThreadProgram<Work> {
  /** The compiled file; its TypeScript source runs instead when Octavo itself runs from sources. */
  readonly file: URL;
  /** Data that the thread is started with. */
  readonly data?: unknown;
  /** Heap limit in MiB: a thread that needs more for a job ends. */
  readonly maxHeapMb: number;
  /** "checks grammars", for errors. */
  readonly does: string;
  /**
   * The error for a job that needs too much.
   *
   * @param budget what is exceeded: "5 s", "256 MB"
   * @param sizes what the thread has said about the job; '' when nothing
   */
  readonly tooLarge: (work: Work, budget: string, sizes: string) => OctavoError;
}

/** The job that is being done. */
interface Running<Work, Result> {
  readonly work: Work;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
  /** Milliseconds that it may take in all. */
  budgetMs: number;
  hasBegun: boolean;
  sizes: string;
  timer: NodeJS.Timeout | null;
}

/**
 * This thread's side of another one that does jobs, one at a time. It is ended when a job takes too
 * long or too much memory.
 */
export class JobThread<Work, Result> {
  readonly #program: ThreadProgram<Work>;
  readonly #worker: Worker;
  readonly #onEnd: () => void;
  #hasEnded = false;
  #running: Running<Work, Result> | null = null;

  /** @param onEnd called when the thread has ended, for whatever reason */
  constructor(program: ThreadProgram<Work>, onEnd: () => void) {
    this.#program = program;
    this.#onEnd = onEnd;
    const { maxHeapMb, data, file } = program;
    const options = { workerData: data, resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } };
    // `new Worker('x.ts')` does not use a loader that the main thread has registered.
    this.#worker = import.meta.url.endsWith('.js')
      ? new Worker(file, options)
      : new Worker(new URL('./thread-dev.mjs', import.meta.url), {
          ...options,
          argv: [file.href.replace(/\.js$/, '.ts')],
        });
    this.#worker.unref();
    this.#worker.on('message', (reply: JobReply<Result>) => this.#receive(reply));
    this.#worker.on('error', (error: NodeJS.ErrnoException) => {
      const isFull = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      this.#end(isFull ? this.#tooLarge(`${maxHeapMb} MB`) : this.#ended(error.message));
    });
    this.#worker.on('exit', () => this.#end(this.#ended('it exited')));
  }

  get isIdle(): boolean {
    return this.#running === null && !this.#hasEnded;
  }

  /**
   * Call only while `isIdle`.
   *
   * @param work plain data; a copy crosses to the thread
   * @param budgetMs counted from when the thread has loaded what it needs
   * @throws OctavoError the job's own error, that of a budget, or `internal` when the thread ends
   */
  run(work: Work, budgetMs: number): Promise<Result> {
    return new Promise((resolve, reject) => {
      const state = { hasBegun: false, sizes: '', timer: null };
      this.#running = { work, resolve, reject, budgetMs, ...state };
      this.#worker.postMessage(work);
    });
  }

  /** Limits the running job to this many more milliseconds, because no client waits for it. */
  hurry(budgetMs: number): void {
    if (!this.#running) return;
    this.#running.budgetMs = Math.min(this.#running.budgetMs, budgetMs);
    if (this.#running.hasBegun) this.#startTimer();
  }

  async close(): Promise<void> {
    this.#end(new OctavoError('draining', 'the server is shutting down'));
    await this.#worker.terminate();
  }

  #startTimer(): void {
    const running = this.#running;
    if (!running) return;
    running.hasBegun = true;
    if (running.timer) clearTimeout(running.timer);
    const { budgetMs } = running;
    const giveUp = (): void => this.#end(this.#tooLarge(`${budgetMs / 1000} s`));
    running.timer = setTimeout(giveUp, budgetMs).unref();
  }

  #tooLarge(budget: string): OctavoError {
    const running = this.#running;
    return running
      ? this.#program.tooLarge(running.work, budget, running.sizes)
      : this.#ended(`it needs more than ${budget}`);
  }

  #ended(reason: string): OctavoError {
    const message = `a thread that ${this.#program.does} has ended: ${reason}`;
    return new OctavoError('internal', message);
  }

  #receive(reply: JobReply<Result>): void {
    switch (reply.type) {
      case 'begun':
        this.#startTimer();
        break;
      case 'measured':
        if (this.#running) this.#running.sizes = reply.sizes;
        break;
      case 'done':
        this.#settle()?.resolve(reply.result);
        break;
      case 'failed':
        this.#settle()?.reject(fromErrorRecord(reply.error));
        break;
    }
  }

  #settle(): Running<Work, Result> | null {
    const running = this.#running;
    this.#running = null;
    if (running?.timer) clearTimeout(running.timer);
    return running;
  }

  #end(reason: OctavoError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    void this.#worker.terminate();
    this.#settle()?.reject(reason);
    this.#onEnd();
  }
}
