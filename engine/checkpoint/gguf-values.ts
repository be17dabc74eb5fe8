import { clipName } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { FileCursor } from './file-cursor.js';

/** A value of a file's metadata. Lists of numbers that are long are kept as typed arrays. */
export type GgufValue = number | boolean | string | readonly GgufValue[] | NumberList;

type NumberList = Float32Array | Int32Array | Float64Array;

/** Longest text, in bytes: chat templates have ten thousands. */
const MAX_TEXT = 2 ** 24;
/** Most elements of a list: vocabularies have hundreds of thousands. */
const MAX_LIST = 2 ** 23;
/** Lists of lists: no key needs more. */
const MAX_DEPTH = 2;

const STRING = 8;
const LIST = 9;

/** Bytes of a number, and how it is read, by the number of its type. */
const NUMBERS: Readonly<Record<number, readonly [number, (bytes: Buffer) => number | boolean]>> = {
  0: [1, (bytes) => bytes.readUInt8()],
  1: [1, (bytes) => bytes.readInt8()],
  2: [2, (bytes) => bytes.readUInt16LE()],
  3: [2, (bytes) => bytes.readInt16LE()],
  4: [4, (bytes) => bytes.readUInt32LE()],
  5: [4, (bytes) => bytes.readInt32LE()],
  6: [4, (bytes) => bytes.readFloatLE()],
  7: [1, (bytes) => bytes.readUInt8() !== 0],
  10: [8, (bytes) => Number(bytes.readBigUInt64LE())],
  11: [8, (bytes) => Number(bytes.readBigInt64LE())],
  12: [8, (bytes) => bytes.readDoubleLE()],
};

/** A token may begin with a byte order mark. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Reads a value of a type.
 *
 * @param what names the value, for messages
 * @throws OctavoError `model_file_corrupt`
 */
export function readValue(cursor: FileCursor, type: number, what: string, depth = 0): GgufValue {
  const number = NUMBERS[type];
  if (number) return number[1](cursor.take(number[0], what));
  if (type === STRING) return readText(cursor, what);
  if (type !== LIST) throw corrupt(cursor, `${what} has the unknown type ${type}`);
  if (depth === MAX_DEPTH) {
    throw corrupt(cursor, `${what} has lists in lists, more than ${MAX_DEPTH} deep`);
  }
  const inner = cursor.take(4, what).readUInt32LE();
  const count = readCount(cursor, what);
  const least = NUMBERS[inner]?.[0] ?? (inner === STRING ? 8 : 12);
  if (count > MAX_LIST || count * least > cursor.rest) {
    throw corrupt(cursor, `${what} states ${count} elements, more than the rest of it holds`);
  }
  if (inner === 5 || inner === 6) return readNumbers(cursor, inner, count, what);
  return Array.from({ length: count }, () => readValue(cursor, inner, what, depth + 1));
}

function readNumbers(cursor: FileCursor, type: 5 | 6, count: number, what: string): NumberList {
  const bytes = Uint8Array.from(cursor.take(4 * count, what));
  return type === 5 ? new Int32Array(bytes.buffer) : new Float32Array(bytes.buffer);
}

/** @param limit longest text that is read, in bytes */
export function readText(cursor: FileCursor, what: string, limit = MAX_TEXT): string {
  const length = readCount(cursor, what);
  if (length > limit || length > cursor.rest) {
    throw corrupt(
      cursor,
      `${what} states a text of ${length} bytes; ${Math.min(limit, cursor.rest)} at most are possible there`,
    );
  }
  return UTF8.decode(cursor.take(length, what));
}

/** A number of 64 bits that counts bytes or elements. */
export function readCount(cursor: FileCursor, what: string): number {
  return Number(cursor.take(8, what).readBigUInt64LE());
}

export function corrupt({ file }: { readonly file: string }, what: string): OctavoError {
  return new OctavoError('model_file_corrupt', `${file}: ${what}`);
}

/** A key or a tensor in messages. */
export const named = (kind: string, name: string): string => `${kind} ${clipName(name)}`;
