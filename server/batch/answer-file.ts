import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile, rename, truncate } from 'node:fs/promises';

/** The answer to one request of a batch, in OpenAI's form. */
export interface BatchAnswer {
  readonly id: string;
  readonly custom_id: string;
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: unknown;
  };
  readonly error: null;
}

/**
 * Answers as they come, in a file beside the one that is asked for, which takes its place when all
 * are there. Its name has a hash of the requests: what a run that was ended has got is there for
 * the next one of the same requests, and for no other.
 */
export class AnswerFile {
  readonly #path: string;
  readonly #partial: string;
  readonly #file: FileHandle;
  /** The `custom_id`s that have an answer from before. */
  readonly done: ReadonlySet<string>;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, partial: string, file: FileHandle, done: ReadonlySet<string>) {
    this.#path = path;
    this.#partial = partial;
    this.#file = file;
    this.done = done;
  }

  /** @throws the system's error */
  static async open(path: string, requests: string): Promise<AnswerFile> {
    const hash = createHash('sha256').update(requests).digest('hex').slice(0, 8);
    const partial = `${path}.${hash}.partial`;
    const before = await readFile(partial, 'utf8').catch(() => '');
    // The last line may have been cut: its request is asked again.
    const whole = before.slice(0, before.lastIndexOf('\n') + 1);
    const file = await open(partial, 'a');
    await truncate(partial, Buffer.byteLength(whole));
    const lines = whole.split('\n').filter((line) => line !== '');
    const done = lines.map((line) => (JSON.parse(line) as BatchAnswer).custom_id);
    return new AnswerFile(path, partial, file, new Set(done));
  }

  /** Writes an answer, after those that came before. @throws the system's error, as `finish` */
  add(answer: BatchAnswer): Promise<void> {
    const written = this.#writing.then(() => this.#file.appendFile(`${JSON.stringify(answer)}\n`));
    this.#writing = written;
    return written;
  }

  /** Gives the file its name. */
  async finish(): Promise<void> {
    await this.#writing;
    await this.#file.sync();
    await rename(this.#partial, this.#path);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
