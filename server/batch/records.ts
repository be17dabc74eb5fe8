import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { writeAtomically } from '../atomic-file.js';

/** What all records have. */
interface Record {
  /** The digest of its client's key, in hexadecimal; '' where no key was needed. */
  readonly owner: string;
  readonly object: { readonly id: string; readonly created_at: number };
}

/** Objects of clients in a directory, each in a JSON file of its own, and in memory. */
export class Records<Schema extends TSchema, Value extends Record = Static<Schema> & Record> {
  readonly directory: string;
  readonly #values = new Map<string, Value>();
  /** One file at a time, so that the last state of a record is what stays. */
  #writing: Promise<unknown> = Promise.resolve();

  /**
   * Reads what is there.
   *
   * @throws OctavoError `usage` for a directory that cannot be used, and for a file in it that is
   *   something else
   */
  constructor(directory: string, schema: Schema) {
    this.directory = directory;
    const found: Value[] = [];
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      for (const name of readdirSync(directory)) {
        if (!name.endsWith('.json')) continue;
        const path = join(directory, name);
        const value = parse(readFileSync(path, 'utf8'));
        if (!Check(schema, value)) throw unusable(path, 'is no record of a batch or of a file');
        found.push(value);
      }
    } catch (error) {
      if (error instanceof OctavoError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      throw unusable(directory, `cannot be used (${code ?? 'unknown'})`);
    }
    found.sort((a, b) => a.object.created_at - b.object.created_at);
    for (const value of found) this.#values.set(value.object.id, value);
  }

  /** In the order in which they were made. */
  all(): readonly Value[] {
    return [...this.#values.values()];
  }

  /** Undefined for that of another client, too. */
  get(owner: string, id: string): Value | undefined {
    const value = this.#values.get(id);
    return value?.owner === owner ? value : undefined;
  }

  /** Resolves when it is on the disk. @throws the system's error */
  async put(value: Value): Promise<void> {
    const { id } = value.object;
    this.#values.set(id, value);
    const write = (): Promise<void> =>
      writeAtomically(this.#pathOf(id), `${JSON.stringify(value)}\n`);
    const written = this.#writing.then(write, write);
    this.#writing = written;
    await written;
  }

  /** What changes too often for the disk: after a restart, it is as it was put last. */
  show(value: Value): void {
    this.#values.set(value.object.id, value);
  }

  async delete(id: string): Promise<void> {
    this.#values.delete(id);
    await rm(this.#pathOf(id), { force: true });
  }

  #pathOf(id: string): string {
    return join(this.directory, `${id}.json`);
  }
}

export const newRecordId = (kind: 'file-' | 'batch_'): string =>
  kind + randomUUID().replaceAll('-', '');

function unusable(path: string, problem: string): OctavoError {
  return new OctavoError('usage', `--batch-dir ${clip(path)}: ${problem}`, {
    param: '--batch-dir',
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
