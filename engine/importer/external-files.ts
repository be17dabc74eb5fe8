import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { OctavoError } from '../errors.js';
import { TensorProto_DataLocation } from './onnx/onnx_pb.js';

/**
 * Messages of onnx.proto that can contain a tensor, with the numbers of the fields that lead to it.
 */
const INNER = {
  model: { 7: 'graph', 25: 'function' },
  function: { 7: 'node' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparseTensor' },
  node: { 5: 'attribute' },
  attribute: {
    5: 'tensor',
    6: 'graph',
    10: 'tensor',
    11: 'graph',
    22: 'sparseTensor',
    23: 'sparseTensor',
  },
  sparseTensor: { 1: 'tensor', 2: 'tensor' },
} as const satisfies Record<string, Readonly<Record<number, string>>>;

type Message = keyof typeof INNER;

/** Fields of a TensorProto, and of an entry of its `external_data`. */
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;
const KEY = 1;
const VALUE = 2;

/** The depth limit of protobuf's own readers. */
const MAX_DEPTH = 100;
const WINDOW = 64 * 1024;

/**
 * Names of the files of external data that a model's tensors refer to, relative to the model's
 * file. The names are not checked in any way. Skips weights: gigabytes inside the file cost neither
 * time nor memory.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export function externalFiles(file: string): string[] {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (cause) {
    throw new OctavoError('model_file_missing', `${file}: cannot be read`, { cause });
  }
  try {
    const names = new Set<string>();
    const reader = new FieldReader(descriptor);
    visit(reader, 'model', { start: 0, end: reader.size }, names, 0);
    return [...names];
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const what = `${file}: is not a complete ONNX protobuf: ${cause.message}`;
    throw new OctavoError('model_file_corrupt', what, { cause });
  } finally {
    closeSync(descriptor);
  }
}

function visit(
  reader: FieldReader,
  message: Message,
  range: ByteRange,
  names: Set<string>,
  depth: number,
): void {
  if (depth > MAX_DEPTH) throw new RangeError(`messages are nested more than ${MAX_DEPTH} deep`);
  const inner: Readonly<Record<number, Message | 'tensor' | undefined>> = INNER[message];
  for (const { number, content } of reader.fields(range)) {
    const kind = inner[number];
    if (kind === undefined || content === null) continue;
    if (kind !== 'tensor') visit(reader, kind, content, names, depth + 1);
    else {
      const location = locationOf(reader, content);
      if (location !== null) names.add(location);
    }
  }
}

function locationOf(reader: FieldReader, tensor: ByteRange): string | null {
  let isExternal = false;
  let location: string | null = null;
  for (const { number, value, content } of reader.fields(tensor)) {
    if (number === DATA_LOCATION) isExternal = value === TensorProto_DataLocation.EXTERNAL;
    if (number !== EXTERNAL_DATA || content === null) continue;
    const texts = new Map<number, string>();
    for (const part of reader.fields(content)) {
      if (part.content) texts.set(part.number, reader.text(part.content));
    }
    if (texts.get(KEY) === 'location') location = texts.get(VALUE) ?? '';
  }
  return isExternal ? location : null;
}

interface ByteRange {
  readonly start: number;
  readonly end: number;
}

interface Field {
  readonly number: number;
  /** Value of a varint field; 0 for other fields. */
  readonly value: number;
  /** Range of a length-delimited field's bytes; null for other fields. */
  readonly content: ByteRange | null;
}

/**
 * Reads protobuf's wire format (protobuf.dev/programming-guides/encoding) through a small window.
 */
class FieldReader {
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
    // Only names of files are read as text. The bound keeps a damaged length from asking for
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
