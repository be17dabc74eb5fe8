import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { Type } from 'typebox';
import { Check } from 'typebox/value';

/** A tensor that is whole in a file of weights. */
export interface JournalLine {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dataType: number;
  readonly offset: number;
  readonly length: number;
  /** Of the file from its beginning to the tensor's end, hexadecimal. */
  readonly sha256: string;
}

const LineSchema = Type.Object({
  name: Type.String(),
  dims: Type.Array(Type.Integer({ minimum: 0 })),
  dataType: Type.Integer(),
  offset: Type.Integer({ minimum: 0 }),
  length: Type.Integer({ minimum: 0 }),
  sha256: Type.String(),
});

const pathOf = (weights: string): string => `${weights}.journal`;

/** Lines of an interrupted conversion, up to the first that is not whole. */
export async function readJournal(weights: string): Promise<JournalLine[]> {
  const text = await readFile(pathOf(weights), 'utf8').catch(() => '');
  const lines: JournalLine[] = [];
  for (const line of text.split('\n')) {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      // The last line, which a process was killed in, or nothing.
      break;
    }
    if (!Check(LineSchema, value)) break;
    lines.push(value);
  }
  return lines;
}

/**
 * Which tensors of a file of weights are whole, one line each. It is not synced: its lines have
 * hashes, so that what a crash has left of either file is found out.
 */
export class WeightsJournal {
  readonly #path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  static async write(weights: string, lines: readonly JournalLine[]): Promise<WeightsJournal> {
    const path = pathOf(weights);
    const journal = new WeightsJournal(path, await open(path, 'a'));
    await journal.rewrite(lines);
    return journal;
  }

  async add(line: JournalLine): Promise<void> {
    await this.#file.appendFile(`${JSON.stringify(line)}\n`);
  }

  async rewrite(lines: readonly JournalLine[]): Promise<void> {
    await this.#file.truncate(0);
    for (const line of lines) await this.add(line);
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.#path, { force: true });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}
