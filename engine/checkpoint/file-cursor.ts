import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { OctavoError, reasonOf } from '../errors.js';

/** Bytes that are read at a time. */
const PIECE = 2 ** 18;

/**
 * Reads numbers and texts of a file one after the other, little-endian. Memory holds one piece of
 * the file, and a text or list that is being read.
 */
export class FileCursor {
  readonly file: string;
  readonly size: number;
  readonly #descriptor: number;
  #piece = Buffer.alloc(0);
  /** Where the piece begins in the file. */
  #start = 0;
  #position = 0;

  /** @throws OctavoError `model_file_missing`, `model_file_corrupt` for what is no file */
  constructor(file: string) {
    this.file = file;
    try {
      this.#descriptor = openSync(file, 'r');
    } catch (cause) {
      throw new OctavoError('model_file_missing', `${file}: cannot be read`, { cause });
    }
    const stats = fstatSync(this.#descriptor);
    if (!stats.isFile()) {
      this.close();
      throw new OctavoError('model_file_corrupt', `${file}: is not a file`);
    }
    this.size = stats.size;
  }

  get position(): number {
    return this.#position;
  }

  /** Bytes from here to the end of the file. */
  get rest(): number {
    return this.size - this.#position;
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /**
   * The next bytes; valid until the next call.
   *
   * @param what is being read, for messages
   * @throws OctavoError `model_file_corrupt` when the file ends before
   */
  take(count: number, what: string): Buffer {
    if (count > this.rest) {
      throw new OctavoError(
        'model_file_corrupt',
        `${this.file}: ends at byte ${this.size}, inside of ${what}`,
      );
    }
    const at = this.#position - this.#start;
    if (at + count > this.#piece.length) {
      this.#load(Math.min(Math.max(count, PIECE), this.rest));
      return this.take(count, what);
    }
    this.#position += count;
    return this.#piece.subarray(at, at + count);
  }

  #load(count: number): void {
    const piece = Buffer.allocUnsafe(count);
    for (let done = 0; done < count; ) {
      const read = this.#read(piece.subarray(done), this.#position + done);
      if (read === 0) {
        throw new OctavoError('model_file_corrupt', `${this.file}: ends while it is read`);
      }
      done += read;
    }
    this.#piece = piece;
    this.#start = this.#position;
  }

  #read(into: Buffer, position: number): number {
    try {
      return readSync(this.#descriptor, into, 0, into.length, position);
    } catch (cause) {
      const what = `${this.file}: cannot be read: ${reasonOf(cause)}`;
      throw new OctavoError('model_file_missing', what, { cause });
    }
  }
}
