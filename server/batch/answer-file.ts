import { createHash } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { AnswerJournal, type BatchAnswer } from './answer-journal.js';

/**
 * Answers as they come, in a file beside the one that is asked for, which takes its place when all
 * are there. Its name has a hash of the requests: what a run that was ended has got is there for
 * the next one of the same requests, and for no other.
 */
export class AnswerFile {
  readonly #path: string;
  readonly #journal: AnswerJournal;

  private constructor(path: string, journal: AnswerJournal) {
    this.#path = path;
    this.#journal = journal;
  }

  /** @throws the system's error */
  static async open(path: string, requests: string): Promise<AnswerFile> {
    const hash = createHash('sha256').update(requests).digest('hex').slice(0, 8);
    return new AnswerFile(path, await AnswerJournal.open(`${path}.${hash}.partial`));
  }

  /** The `custom_id`s that have an answer from before. */
  get done(): ReadonlySet<string> {
    return this.#journal.done;
  }

  /** Writes an answer, after those that came before. @throws the system's error, as `finish` */
  add(answer: BatchAnswer): Promise<void> {
    return this.#journal.add(answer);
  }

  /** Gives the file its name. */
  async finish(): Promise<void> {
    await this.#journal.sync();
    await rename(this.#journal.path, this.#path);
  }

  close(): Promise<void> {
    return this.#journal.close();
  }
}
