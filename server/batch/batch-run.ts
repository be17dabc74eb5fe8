import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { AnswerJournal } from './answer-journal.js';
import type { BatchLine } from './batch-lines.js';
import type { BatchObject, BatchRecord } from './batch-objects.js';
import type { FileStore } from './file-store.js';
import type { SendLine } from './line-sender.js';
import { readRequests } from './receive-file.js';
import { type LineAnswer, newAnswerId, toAnswer } from './run-lines.js';

/** Until a request is sent again that the server could not take. */
const RETRY_MS = 1000;

/** What the server says when it could not take a request now. */
const NOT_NOW: ReadonlySet<number> = new Set([429, 503]);

/** Mistakes of a batch that its client is told. */
const MOST_ERRORS = 100;

/** Why the requests of a batch end. */
export type EndReason = 'stopped' | 'cancelled' | 'expired';

/** A batch's requests are ended by its run, for this reason. */
class Ending extends Error {
  readonly why: EndReason;

  constructor(why: EndReason) {
    super(`the batch is ${why}`);
    this.why = why;
  }
}

export interface BatchRunOptions {
  readonly files: FileStore;
  readonly send: SendLine;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Keeps a new state of the batch; `isLasting` when it must be on the disk. */
  readonly keep: (record: BatchRecord, isLasting: boolean) => Promise<void>;
}

/** One batch on its way, from any state that is not the last: also after a restart. */
export class BatchRun {
  readonly #options: BatchRunOptions;
  readonly #controller = new AbortController();
  #record: BatchRecord;
  /** Resolves when nothing of it runs any more; never rejects. */
  readonly ended: Promise<void>;

  constructor(record: BatchRecord, options: BatchRunOptions) {
    this.#record = record;
    this.#options = options;
    // Each request listens.
    setMaxListeners(0, this.#controller.signal);
    this.ended = this.#run().catch((error: unknown) => {
      options.logger.error({ err: error, batch: record.object.id }, 'octavo: a batch has failed');
    });
  }

  /** Ends its running requests, which are not answered. */
  end(why: EndReason): void {
    this.#controller.abort(new Ending(why));
  }

  /** Its requests end, and what is answered becomes its files. */
  async cancel(): Promise<void> {
    await this.#change({ status: 'cancelling', cancelling_at: this.#now() });
    this.end('cancelled');
  }

  async #run(): Promise<void> {
    const expiry = this.#expireInTime();
    try {
      if (this.#record.object.status === 'cancelling') this.end('cancelled');
      if (this.#record.object.status === 'validating' && !(await this.#validate())) return;
      await this.#answer();
    } catch (error) {
      const reason = error instanceof OctavoError ? error : null;
      if (!reason) this.#options.logger.error({ err: error }, 'octavo: a batch cannot go on');
      const message = reason?.message ?? 'the server cannot go on; its log says why';
      await this.#fail([{ code: reason?.kind ?? 'internal', message, param: null, line: null }]);
    } finally {
      expiry.cancel();
    }
  }

  /** @returns false when it has failed */
  async #validate(): Promise<boolean> {
    const { endpoint, input_file_id: input } = this.#record.object;
    const errors: { code: string; message: string; param: string; line: number }[] = [];
    let total = 0;
    for await (const { line, number } of this.#requests(input)) {
      total += 1;
      if (line.url === endpoint || errors.length === MOST_ERRORS) continue;
      const message = `url is ${line.url}; the batch is for ${endpoint}`;
      errors.push({ code: 'mismatched_endpoint', message, param: 'url', line: number });
    }
    if (errors.length > 0) {
      await this.#fail(errors);
      return false;
    }
    await this.#change({
      status: 'in_progress',
      in_progress_at: this.#now(),
      request_counts: { total, completed: 0, failed: 0 },
    });
    return true;
  }

  async #answer(): Promise<void> {
    const { files } = this.#options;
    const { outputId, errorId } = this.#record;
    const output = await AnswerJournal.open(files.pathOf(outputId));
    const errors = await AnswerJournal.open(files.pathOf(errorId));
    let why: EndReason | null = null;
    try {
      this.#count(output, errors);
      why = await this.#askAll(output, errors);
      if (why === 'stopped') return;
      if (why === 'expired') await this.#noteUnanswered(output, errors);
      if (why === null) await this.#change({ status: 'finalizing', finalizing_at: this.#now() });
      await Promise.all([output.sync(), errors.sync()]);
    } finally {
      await Promise.all([output.close(), errors.close()]);
    }
    const ids = {
      output_file_id: await this.#publish(outputId, output.done.size, 'output'),
      error_file_id: await this.#publish(errorId, errors.done.size, 'errors'),
    };
    const now = this.#now();
    if (why === 'cancelled') await this.#change({ ...ids, status: 'cancelled', cancelled_at: now });
    else if (why === 'expired') await this.#change({ ...ids, status: 'expired', expired_at: now });
    else await this.#change({ ...ids, status: 'completed', completed_at: now });
  }

  /**
   * @returns why it ended before all were answered; null: they are
   * @throws what else went wrong
   */
  async #askAll(output: AnswerJournal, errors: AnswerJournal): Promise<EndReason | null> {
    const lines = this.#requests(this.#record.object.input_file_id);
    const { signal } = this.#controller;
    const work = async (): Promise<void> => {
      for (;;) {
        signal.throwIfAborted();
        const { value, done } = await lines.next();
        if (done === true) return;
        const { line } = value;
        if (output.done.has(line.custom_id) || errors.done.has(line.custom_id)) continue;
        const answer = await this.#ask(line);
        await (answer.status < 400 ? output : errors).add(toAnswer(line, answer));
        this.#count(output, errors);
      }
    };
    const workers = Array.from({ length: this.#options.concurrency }, () =>
      work().catch((error: unknown) => {
        // The others end, too.
        this.#controller.abort(error);
      }),
    );
    await Promise.all(workers);
    await lines.return();
    if (!signal.aborted) return null;
    const reason = signal.reason as unknown;
    if (reason instanceof Ending) return reason.why;
    throw reason;
  }

  async #ask(line: BatchLine): Promise<LineAnswer> {
    const { send } = this.#options;
    const { signal } = this.#controller;
    for (;;) {
      const answer = await send(this.#record.owner, line, signal);
      signal.throwIfAborted();
      if (!NOT_NOW.has(answer.status)) return answer;
      await this.#pause(RETRY_MS);
    }
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#controller;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        timer.cancel();
        reject(signal.reason as Error);
      };
      const timer = this.#options.clock.startTimer(() => {
        signal.removeEventListener('abort', leave);
        resolve();
      }, ms);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  async #noteUnanswered(output: AnswerJournal, errors: AnswerJournal): Promise<void> {
    for await (const { line } of this.#requests(this.#record.object.input_file_id)) {
      if (output.done.has(line.custom_id) || errors.done.has(line.custom_id)) continue;
      const message = 'the request could not be answered before the batch expired';
      await errors.add({
        id: newAnswerId(),
        custom_id: line.custom_id,
        response: null,
        error: { code: 'batch_expired', message },
      });
    }
    this.#count(output, errors);
  }

  #requests(input: string): ReturnType<typeof readRequests> {
    return readRequests(this.#options.files.pathOf(input), (problem, number) => {
      throw new OctavoError('invalid_request', `line ${number}: ${problem}`);
    });
  }

  /** Makes answers a file of the client. @returns its id; null: there are none */
  async #publish(id: string, answers: number, what: string): Promise<string | null> {
    const { files } = this.#options;
    const { owner, outputSeconds: seconds, object } = this.#record;
    if (answers === 0) {
      await files.delete(id);
      return null;
    }
    const filename = `${object.id}_${what}.jsonl`;
    await files.add(id, { owner, filename, purpose: 'batch_output', requests: null, seconds });
    return id;
  }

  #count(output: AnswerJournal, errors: AnswerJournal): void {
    const { total } = this.#record.object.request_counts;
    const counts = { total, completed: output.done.size, failed: errors.done.size };
    void this.#change({ request_counts: counts }, false);
  }

  #fail(data: NonNullable<BatchObject['errors']>['data']): Promise<void> {
    const errors = { object: 'list' as const, data };
    return this.#change({ status: 'failed', failed_at: this.#now(), errors });
  }

  async #change(changes: Partial<BatchObject>, isLasting = true): Promise<void> {
    this.#record = { ...this.#record, object: { ...this.#record.object, ...changes } };
    await this.#options.keep(this.#record, isLasting);
  }

  #expireInTime(): Timer {
    const seconds = this.#record.object.expires_at - this.#now();
    return this.#options.clock.startTimer(() => this.end('expired'), Math.max(0, seconds) * 1000);
  }

  #now(): number {
    return this.#options.clock.unixSeconds();
  }
}
