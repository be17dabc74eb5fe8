import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { OctavoError } from '../../errors.js';

const WINDOW = 64 * 1024;

/**
 * Reads fields of a file in protobuf's wire format. What is not asked for is skipped: gigabytes of
 * weights cost neither time nor memory.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export function readFields<Result>(file: string, read: (reader: FieldReader) => Result): Result {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (cause) {
    throw new OctavoError('model_file_missing', `${file}: cannot be read`, { cause });
  }
  try {
    return read(new FieldReader(descriptor));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const what = `${file}: is not a complete ONNX protobuf: ${cause.message}`;
    throw new OctavoError('model_file_corrupt', what, { cause });
  } finally {
    closeSync(descriptor);
  }
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface Field {
  readonly number: number;
  /** Value of a varint field; 0 for other fields. */
  readonly value: number;
  /** Range of a length-delimited field's bytes; null for other fields. */
  readonly content: ByteRange | null;
}

/**
 * Reads protobuf's wire format (protobuf.dev/programming-guides/encoding) through a small window.
 */
export class FieldReader {
  readonly size: number;
  readonly #descriptor: number;
  readonly #window = new Uint8Array(WINDOW);
  #from = 0;
  #filled = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.size = fstatSync(descriptor).size;
  }

  /** @throws RangeError when the bytes are no message, or it ends beyond its range */
  *fields({ start, end }: ByteRange): Generator<Field> {
    let at = start;
    const varint = (): number => {
      let value = 0;
      for (let shift = 0; shift < 70; shift += 7) {
        const byte = this.#byte(at++);
        value += (byte & 0x7f) * 2 ** shift;
        if (byte < 0x80) return value;
      }
      throw new RangeError(`a number is too long at byte ${at}`);
    };
    while (at < end) {
      const began = at;
      const tag = varint();
      const number = Math.floor(tag / 8);
      const wireType = tag % 8;
      let value = 0;
      let content: ByteRange | null = null;
      if (wireType === 0) value = varint();
      else if (wireType === 1) at += 8;
      else if (wireType === 5) at += 4;
      else if (wireType === 2) {
        const length = varint();
        content = { start: at, end: at + length };
        at += length;
      } else throw new RangeError(`no field begins at byte ${began}`);
      if (at > end) throw new RangeError(`the field at byte ${began} ends behind byte ${end}`);
      yield { number, value, content };
    }
  }

  text({ start, end }: ByteRange): string {
    // Only names are read as text. The bound keeps a damaged length from asking for
    // gigabytes.
    if (end - start > WINDOW) throw new RangeError(`the text at byte ${start} is too long`);
    return Buffer.from(
      Array.from({ length: end - start }, (_, i) => this.#byte(start + i)),
    ).toString();
  }

  #byte(at: number): number {
    if (at < this.#from || at >= this.#from + this.#filled) {
      this.#from = at;
      this.#filled = readSync(this.#descriptor, this.#window, 0, WINDOW, at);
      if (this.#filled === 0) throw new RangeError(`it ends at byte ${this.size}`);
    }
    return this.#window[at - this.#from];
  }
}
