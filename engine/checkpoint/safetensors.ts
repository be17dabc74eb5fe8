import { clip, clipName } from '../clip.js';
import { OctavoError } from '../errors.js';
import { duplicateKey } from './duplicate-key.js';
import { FileCursor } from './file-cursor.js';
import { STORED_BYTES, type StoredTensor } from './stored-tensor.js';

/** Length of the number at the beginning, which is the header's length. */
const PREFIX_BYTES = 8;
/** Longest header, in bytes, as the format's own library has it. */
const MAX_HEADER_BYTES = 100_000_000;
/** Beginning of a Git LFS pointer: a clone without large files has these in their place. */
const LFS = 'version ';

/** Bytes of one number, for the types of the format that are whole bytes. */
const TYPE_BYTES = new Map<string, number>(
  Object.entries({
    ...STORED_BYTES,
    F64: 8,
    I64: 8,
    U64: 8,
    I32: 4,
    U32: 4,
    I16: 2,
    U16: 2,
    I8: 1,
    U8: 1,
    BOOL: 1,
    F8_E4M3: 1,
    F8_E5M2: 1,
    F8_E8M0: 1,
  }),
);

/**
 * The tensors of a .safetensors file (github.com/huggingface/safetensors): eight bytes with the
 * header's length, the header as JSON, then the data. Only the header is read.
 *
 * @returns in the order of their data
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`: what is wrong in the file, and at
 *   which tensor
 */
export function readSafetensors(file: string): StoredTensor[] {
  const { header, dataStart, dataBytes } = readHeader(file);
  const tensors: StoredTensor[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name !== '__metadata__') tensors.push(toTensor(file, name, entry, dataStart, dataBytes));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = dataStart;
  let before = 'the header';
  for (const { name, offset, bytes } of tensors) {
    const at = `tensor ${clipName(name)} begins at byte ${offset - dataStart} of the data`;
    if (offset < end) throw corrupt(file, `${at}, inside of ${before}`);
    if (offset > end) throw corrupt(file, `${at}; bytes before it belong to no tensor`);
    end = offset + bytes;
    before = `tensor ${clipName(name)}`;
  }
  const rest = dataStart + dataBytes - end;
  if (rest > 0) throw corrupt(file, `its last ${rest} bytes belong to no tensor`);
  return tensors;
}

interface Header {
  readonly header: Readonly<Record<string, unknown>>;
  /** Where the data begins in the file. */
  readonly dataStart: number;
  readonly dataBytes: number;
}

function readHeader(file: string): Header {
  const cursor = new FileCursor(file);
  const { size } = cursor;
  try {
    if (size < PREFIX_BYTES) {
      throw corrupt(
        file,
        `has ${size} bytes; a safetensors file begins with 8 that state its header`,
      );
    }
    const prefix = cursor.take(PREFIX_BYTES, 'the length of its header');
    if (prefix.toString('latin1') === LFS) {
      throw corrupt(file, 'is a pointer of git-lfs, not the file itself: git lfs pull fetches it');
    }
    const length = Number(prefix.readBigUInt64LE());
    if (length > MAX_HEADER_BYTES) {
      throw corrupt(
        file,
        `states a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are read`,
      );
    }
    const bytes = cursor.take(length, `its header of ${length} bytes`);
    const dataStart = PREFIX_BYTES + length;
    return { header: parse(file, bytes), dataStart, dataBytes: size - dataStart };
  } finally {
    cursor.close();
  }
}

function parse(file: string, bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw corrupt(file, 'has a header that is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw corrupt(file, 'has a header that is not a JSON object');
  }
  const twice = duplicateKey(text);
  if (twice !== null) throw corrupt(file, `names the tensor ${clipName(twice)} twice`);
  return value as Record<string, unknown>;
}

function toTensor(
  file: string,
  name: string,
  entry: unknown,
  dataStart: number,
  dataBytes: number,
): StoredTensor {
  const fail = (what: string): OctavoError => corrupt(file, `tensor ${clipName(name)} ${what}`);
  const { dtype, shape, data_offsets: range } = (entry ?? {}) as Record<string, unknown>;
  const isSize = (value: unknown): value is number =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  if (typeof dtype !== 'string') throw fail('states no dtype');
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail('states no shape of whole numbers');
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isSize)) {
    throw fail('states no data_offsets of two whole numbers');
  }
  const [begin, end] = range as [number, number];
  if (end < begin) throw fail(`ends at byte ${end} of the data, before it begins at ${begin}`);
  if (end > dataBytes) {
    throw fail(`ends at byte ${end} of the data, but the file has only ${dataBytes} of it`);
  }
  const size = TYPE_BYTES.get(dtype);
  if (size === undefined) throw fail(`has the unknown dtype ${clipName(dtype)}`);
  // The product may exceed what a number represents exactly; then it fits no range either.
  const needed = shape.reduce((n, dim) => n * dim, size);
  if (needed !== end - begin) {
    const sizes = clip(`[${shape.join(', ')}]`);
    throw fail(`has ${end - begin} bytes; its shape ${sizes} of ${dtype} needs ${needed}`);
  }
  return { name, type: dtype, shape, file, offset: dataStart + begin, bytes: needed };
}

function corrupt(file: string, what: string, cause?: unknown): OctavoError {
  return new OctavoError('model_file_corrupt', `${file}: ${what}`, { cause });
}
