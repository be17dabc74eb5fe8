import { join } from 'node:path';
import type { Logger } from 'pino';
import { clip } from '../../engine/clip.js';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import {
  type BatchObject,
  type BatchRecord,
  BatchRecordSchema,
  hasEnded,
} from './batch-objects.js';
import { BatchRun } from './batch-run.js';
import { FileStore } from './file-store.js';
import type { SendLine } from './line-sender.js';
import { newRecordId, Records } from './records.js';

/** OpenAI's only completion window, seconds. */
const WINDOW = 24 * 3600;

/** How long batches that have ended are listed, seconds. */
const KEPT = 30 * 24 * 3600;

/** Unfinished batches of one client. */
const MOST_UNFINISHED = 32;

export interface BatchesOptions {
  readonly directory: string;
  /** Bytes of all files from which on none is taken. */
  readonly maxStorage: number;
  readonly send: SendLine;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Requests of one batch at a time. */
  readonly concurrency: number;
}

export interface NewBatch {
  readonly endpoint: string;
  readonly inputFileId: string;
  readonly metadata: BatchObject['metadata'];
  readonly outputSeconds: number | null;
}

/** The batches of a directory, and their files. */
export class Batches {
  readonly files: FileStore;
  readonly #options: BatchesOptions;
  readonly #records: Records<typeof BatchRecordSchema>;
  readonly #runs = new Map<string, BatchRun>();

  /** @throws OctavoError `usage` for a directory that cannot be used */
  constructor(options: BatchesOptions) {
    const { directory, clock, maxStorage } = options;
    this.#options = options;
    this.#records = new Records(join(directory, 'batches'), BatchRecordSchema);
    this.files = new FileStore(join(directory, 'files'), clock, maxStorage);
    const unfinished = this.#unfinished();
    this.files.sweep(new Set(unfinished.flatMap(({ outputId, errorId }) => [outputId, errorId])));
  }

  /** Goes on with what was not finished before. */
  start(): void {
    for (const record of this.#unfinished()) this.#run(record);
  }

  /** Ends all requests at once; the batches go on when the directory is used again. */
  async stop(): Promise<void> {
    for (const run of this.#runs.values()) run.end('stopped');
    await Promise.all([...this.#runs.values()].map(({ ended }) => ended));
  }

  /** @throws OctavoError `file_not_found`, `invalid_request`, `rate_limited` */
  async create(owner: string, batch: NewBatch): Promise<BatchObject> {
    await this.#forgetOld();
    const input = this.files.get(owner, batch.inputFileId, 'input_file_id');
    if (input.object.purpose !== 'batch') {
      const message = `input_file_id: the file has the purpose ${input.object.purpose}; must be batch`;
      throw new OctavoError('invalid_request', message, { param: 'input_file_id' });
    }
    if (this.#unfinished().filter((other) => other.owner === owner).length >= MOST_UNFINISHED) {
      const message = `${MOST_UNFINISHED} of your batches are not finished; no more may be`;
      throw new OctavoError('rate_limited', message);
    }
    const created = this.#options.clock.unixSeconds();
    const object: BatchObject = {
      id: newRecordId('batch_'),
      object: 'batch',
      endpoint: batch.endpoint,
      errors: null,
      input_file_id: batch.inputFileId,
      completion_window: '24h',
      status: 'validating',
      output_file_id: null,
      error_file_id: null,
      created_at: created,
      in_progress_at: null,
      expires_at: created + WINDOW,
      finalizing_at: null,
      completed_at: null,
      failed_at: null,
      expired_at: null,
      cancelling_at: null,
      cancelled_at: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      metadata: batch.metadata,
    };
    const { outputSeconds } = batch;
    const ids = { outputId: this.files.newId(), errorId: this.files.newId() };
    const record: BatchRecord = { owner, ...ids, outputSeconds, object };
    await this.#records.put(record);
    this.#run(record);
    return object;
  }

  /** @throws OctavoError `batch_not_found`, for that of another client, too */
  get(owner: string, id: string): BatchObject {
    const record = this.#records.get(owner, id);
    if (record) return record.object;
    throw new OctavoError('batch_not_found', `No batch found with id '${clip(id)}'`);
  }

  /** Those of a client, the newest first. */
  list(owner: string): readonly BatchObject[] {
    const own = this.#records.all().filter((record) => record.owner === owner);
    return own.map(({ object }) => object).reverse();
  }

  /** @throws OctavoError `batch_not_found`; `invalid_request` for one that has ended */
  async cancel(owner: string, id: string): Promise<BatchObject> {
    const { status } = this.get(owner, id);
    const run = this.#runs.get(id);
    if (!run || (status !== 'validating' && status !== 'in_progress')) {
      const message = `the batch is ${status}: only one that is validating or in_progress can be cancelled`;
      throw new OctavoError('invalid_request', message);
    }
    await run.cancel();
    return this.get(owner, id);
  }

  /** @throws OctavoError `file_not_found`, `file_in_use` */
  async deleteFile(owner: string, id: string): Promise<void> {
    this.files.get(owner, id);
    const user = this.#unfinished().find(({ object }) => object.input_file_id === id);
    if (user) {
      const message = `the batch ${user.object.id} is not finished and has this file: cancel it first`;
      throw new OctavoError('file_in_use', message);
    }
    await this.files.delete(id);
  }

  #run(record: BatchRecord): void {
    const { clock, logger, send, concurrency } = this.#options;
    const keep = async (changed: BatchRecord, isLasting: boolean): Promise<void> => {
      if (isLasting) await this.#records.put(changed);
      else this.#records.show(changed);
    };
    const { files } = this;
    const run = new BatchRun(record, { files, send, clock, logger, concurrency, keep });
    this.#runs.set(record.object.id, run);
    void run.ended.then(() => this.#runs.delete(record.object.id));
  }

  #unfinished(): readonly BatchRecord[] {
    return this.#records.all().filter(({ object }) => !hasEnded(object));
  }

  async #forgetOld(): Promise<void> {
    const before = this.#options.clock.unixSeconds() - KEPT;
    const old = this.#records
      .all()
      .filter(({ object }) => hasEnded(object) && object.created_at < before);
    await Promise.all(old.map(({ object }) => this.#records.delete(object.id)));
  }
}
