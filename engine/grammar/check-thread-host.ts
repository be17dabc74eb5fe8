import { Worker } from 'node:worker_threads';
import { fromErrorRecord, OctavoError } from '../errors.js';
import type { CheckCommand, CheckReply, GrammarCheck } from './check-messages.js';

/** Heap limit of a check thread, in MiB: a thread that needs more for a grammar ends. */
const MAX_HEAP_MB = 256;

/** The request that is being checked. */
interface Running {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  /** Milliseconds that it may take in all. */
  budgetMs: number;
  sizes: string;
  timer: NodeJS.Timeout | null;
}

/**
 * The server's side of one check thread. The thread checks one request at a time, and is ended when
 * that takes too long.
 */
export class CheckThreadHost {
  readonly #worker: Worker;
  readonly #onEnd: () => void;
  #isReady = false;
  #hasEnded = false;
  #running: Running | null = null;

  /** @param onEnd called when the thread has ended, for whatever reason */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    const fromSources = import.meta.url.endsWith('.ts');
    const entry = fromSources ? './check-thread-dev.mjs' : './check-thread.js';
    this.#worker = new Worker(new URL(entry, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    });
    this.#worker.unref();
    this.#worker.on('message', (reply: CheckReply) => this.#receive(reply));
    this.#worker.on('error', (error: NodeJS.ErrnoException) => {
      const isFull = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      this.#end(isFull ? this.#tooLarge(`${MAX_HEAP_MB} MB`) : ended(error.message));
    });
    this.#worker.on('exit', () => this.#end(ended('it exited')));
  }

  get isIdle(): boolean {
    return this.#running === null && !this.#hasEnded;
  }

  /**
   * Call only while `isIdle`.
   *
   * @param budgetMs counted from when the thread has loaded
   * @throws OctavoError `invalid_request`
   */
  check(checks: readonly GrammarCheck[], budgetMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#running = { resolve, reject, budgetMs, sizes: '', timer: null };
      const command: CheckCommand = { checks };
      this.#worker.postMessage(command);
      if (this.#isReady) this.#startTimer();
    });
  }

  /** Limits the running check to this many more milliseconds, because no client waits for it. */
  hurry(budgetMs: number): void {
    if (!this.#running) return;
    this.#running.budgetMs = Math.min(this.#running.budgetMs, budgetMs);
    if (this.#isReady) this.#startTimer();
  }

  async close(): Promise<void> {
    this.#end(new OctavoError('draining', 'the server is shutting down'));
    await this.#worker.terminate();
  }

  #startTimer(): void {
    const running = this.#running;
    if (!running) return;
    if (running.timer) clearTimeout(running.timer);
    const { budgetMs } = running;
    const giveUp = (): void => this.#end(this.#tooLarge(`${budgetMs / 1000} s`));
    running.timer = setTimeout(giveUp, budgetMs).unref();
  }

  #tooLarge(budget: string): OctavoError {
    const sizes = this.#running?.sizes ?? '';
    return new OctavoError(
      'invalid_request',
      `the grammar takes more than ${budget} to check${sizes === '' ? '' : `: it has ${sizes}`}`,
    );
  }

  #receive(reply: CheckReply): void {
    switch (reply.type) {
      case 'ready':
        this.#isReady = true;
        this.#startTimer();
        break;
      case 'measured':
        if (this.#running) this.#running.sizes = reply.sizes;
        break;
      case 'checked': {
        const running = this.#settle();
        if (reply.error) running?.reject(fromErrorRecord(reply.error));
        else running?.resolve();
        break;
      }
    }
  }

  #settle(): Running | null {
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

const ended = (reason: string): OctavoError =>
  new OctavoError('internal', `a thread that checks grammars has ended: ${reason}`);
