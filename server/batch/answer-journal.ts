import { type FileHandle, open, readFile, truncate } from 'node:fs/promises';

/** The answer to one request of a batch, in OpenAI's form. */
export interface BatchAnswer {
  readonly id: string;
  readonly custom_id: string;
  /** Null: it was not asked, and `error` says why. */
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: unknown;
  } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** Answers in a file as they come, one a line: what a run that was ended has got stays there. */
export class AnswerJournal {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #done: Set<string>;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: FileHandle, done: Set<string>) {
    this.path = path;
    this.#file = file;
    this.#done = done;
  }

  /** @throws the system's error */
  static async open(path: string): Promise<AnswerJournal> {
    const before = await readFile(path, 'utf8').catch(() => '');
    // The last line may have been cut: its request is asked again.
    const whole = before.slice(0, before.lastIndexOf('\n') + 1);
    const file = await open(path, 'a', 0o600);
    await truncate(path, Buffer.byteLength(whole));
    const lines = whole.split('\n').filter((line) => line !== '');
    const done = lines.map((line) => (JSON.parse(line) as BatchAnswer).custom_id);
    return new AnswerJournal(path, file, new Set(done));
  }

  /** The `custom_id`s that have an answer. */
  get done(): ReadonlySet<string> {
    return this.#done;
  }

  /** Writes an answer, after those that came before. @throws the system's error, as `sync` */
  async add(answer: BatchAnswer): Promise<void> {
    const written = this.#writing.then(() => this.#file.appendFile(`${JSON.stringify(answer)}\n`));
    this.#writing = written;
    await written;
    this.#done.add(answer.custom_id);
  }

  /** Resolves when all of it is on the disk. */
  async sync(): Promise<void> {
    await this.#writing;
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
