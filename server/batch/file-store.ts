import { readdirSync, rmSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { clip } from '../../engine/clip.js';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { type FileObject, type FileRecord, FileRecordSchema } from './batch-objects.js';
import { newRecordId, Records } from './records.js';

/** What a file is made with. */
export interface NewFile {
  readonly owner: string;
  readonly filename: string;
  readonly purpose: FileObject['purpose'];
  /** Requests of an input; null for answers. */
  readonly requests: number | null;
  /** Seconds until it is deleted; null: never. */
  readonly seconds: number | null;
}

/** The files of clients: each has a record, and its content in a file beside that. */
export class FileStore {
  readonly #records: Records<typeof FileRecordSchema>;
  readonly #clock: Pick<Clock, 'unixSeconds'>;
  readonly #most: number;

  /**
   * @param most bytes of all files from which on none is taken
   * @throws OctavoError `usage` as `Records`
   */
  constructor(directory: string, clock: Pick<Clock, 'unixSeconds'>, most: number) {
    this.#records = new Records(directory, FileRecordSchema);
    this.#clock = clock;
    this.#most = most;
  }

  newId(): string {
    return newRecordId('file-');
  }

  /** Where the content of a file is, whether it has a record or not. */
  pathOf(id: string): string {
    return join(this.#records.directory, `${id}.jsonl`);
  }

  /** @throws OctavoError `batch_storage_full` */
  async assertRoom(): Promise<void> {
    await this.#expire();
    const bytes = this.#records.all().reduce((sum, { object }) => sum + object.bytes, 0);
    if (bytes < this.#most) return;
    const message = `the files of the server have ${bytes} bytes; no more are taken from ${this.#most} on (--max-batch-storage): delete some`;
    throw new OctavoError('batch_storage_full', message);
  }

  /** Gives a content that is there its record. */
  async add(id: string, file: NewFile): Promise<FileObject> {
    const { size } = await stat(this.pathOf(id));
    const created = this.#clock.unixSeconds();
    const object: FileObject = {
      id,
      object: 'file',
      bytes: size,
      created_at: created,
      expires_at: file.seconds === null ? null : created + file.seconds,
      filename: file.filename,
      purpose: file.purpose,
      status: 'processed',
    };
    await this.#records.put({ owner: file.owner, requests: file.requests, object });
    return object;
  }

  /** @throws OctavoError `file_not_found`, for that of another client, too */
  get(owner: string, id: string, param?: string): FileRecord {
    const record = this.#records.get(owner, id);
    if (record && !this.#isOver(record)) return record;
    const message = `No such File object: ${clip(id)}`;
    throw new OctavoError('file_not_found', message, param === undefined ? {} : { param });
  }

  /** Those of a client, the oldest first. */
  list(owner: string): readonly FileObject[] {
    return this.#records
      .all()
      .filter((record) => record.owner === owner && !this.#isOver(record))
      .map(({ object }) => object);
  }

  async delete(id: string): Promise<void> {
    await this.#records.delete(id);
    await rm(this.pathOf(id), { force: true });
  }

  /** Deletes contents without a record: of uploads that a crash has ended. @param kept ids */
  sweep(kept: ReadonlySet<string>): void {
    const known = new Set(this.#records.all().map(({ object }) => object.id));
    for (const name of readdirSync(this.#records.directory)) {
      const id = /^(.+)\.jsonl$/.exec(name)?.[1];
      if (id === undefined || known.has(id) || kept.has(id)) continue;
      rmSync(this.pathOf(id), { force: true });
    }
  }

  async #expire(): Promise<void> {
    const over = this.#records.all().filter((record) => this.#isOver(record));
    await Promise.all(over.map(({ object }) => this.delete(object.id)));
  }

  #isOver({ object }: FileRecord): boolean {
    return object.expires_at !== null && object.expires_at <= this.#clock.unixSeconds();
  }
}
