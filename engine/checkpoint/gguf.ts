import { clip } from '../clip.js';
import { FileCursor } from './file-cursor.js';
import { GGML_TYPES } from './ggml-types.js';
import { corrupt, type GgufValue, named, readCount, readText, readValue } from './gguf-values.js';
import type { StoredTensor } from './stored-tensor.js';

/** Metadata of a file by key; what it means is the reader's business (`engine/gguf/`). */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export interface GgufFile {
  readonly metadata: GgufMetadata;
  /** In the order of their data. */
  readonly tensors: readonly StoredTensor[];
}

const MAGIC = 'GGUF';
/** Beginning of a Git LFS pointer: a clone without large files has these in their place. */
const LFS = 'vers';
/** Most keys and tensors: the largest models have some thousands. */
const MAX_ENTRIES = 2 ** 20;
const MAX_NAME = 2 ** 16;
const MAX_DIMS = 4;
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 2 ** 20;

/**
 * Reads the metadata and the table of tensors of a GGUF file of version 2 or 3, little-endian
 * (ggml's docs/gguf.md). The data of tensors is not read.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`: what is wrong in the file, and at
 *   which key or tensor
 */
export function readGguf(file: string): GgufFile {
  const cursor = new FileCursor(file);
  try {
    const { tensorCount, keyCount } = readHeader(cursor);
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < keyCount; i++) {
      const key = readText(cursor, `key ${i + 1} of ${keyCount}`, MAX_NAME);
      const what = named('key', key);
      if (metadata.has(key)) throw corrupt(cursor, `has the ${what} twice`);
      metadata.set(key, readValue(cursor, cursor.take(4, what).readUInt32LE(), what));
    }
    const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
    const isPower = typeof alignment === 'number' && (alignment & (alignment - 1)) === 0;
    if (!isPower || alignment < 1 || alignment > MAX_ALIGNMENT) {
      throw corrupt(
        cursor,
        `general.alignment must be a power of 2, got ${JSON.stringify(alignment)}`,
      );
    }
    const table = Array.from({ length: tensorCount }, (_, i) =>
      readTensor(cursor, `tensor ${i + 1} of ${tensorCount}`),
    );
    const start = Math.ceil(cursor.position / alignment) * alignment;
    return { metadata, tensors: placed(cursor, table, start, alignment) };
  } finally {
    cursor.close();
  }
}

function readHeader(cursor: FileCursor): Record<'tensorCount' | 'keyCount', number> {
  if (cursor.size < 24) {
    throw corrupt(cursor, `has ${cursor.size} bytes; the header of a GGUF file alone has 24`);
  }
  const magic = cursor.take(4, 'the header').toString('latin1');
  if (magic === LFS) {
    throw corrupt(cursor, 'is a pointer of git-lfs, not the file itself: git lfs pull fetches it');
  }
  if (magic !== MAGIC) throw corrupt(cursor, 'does not begin with GGUF, as a GGUF file does');
  const version = cursor.take(4, 'the header').readUInt32LE();
  if (version !== 2 && version !== 3) {
    const isSwapped = version === 0x02000000 || version === 0x03000000;
    const what = isSwapped ? 'is big-endian' : `has the version ${version}`;
    throw corrupt(cursor, `${what}; versions 2 and 3 are read, little-endian`);
  }
  const tensorCount = readCount(cursor, 'the header');
  const keyCount = readCount(cursor, 'the header');
  // An entry has 13 bytes at least.
  for (const [what, count] of [
    ['tensors', tensorCount],
    ['keys', keyCount],
  ] as const) {
    if (count > MAX_ENTRIES || count * 13 > cursor.size) {
      throw corrupt(
        cursor,
        `states ${count} ${what}, more than a file of ${cursor.size} bytes has`,
      );
    }
  }
  return { tensorCount, keyCount };
}

/** A tensor whose offset counts from the beginning of the data. */
function readTensor(cursor: FileCursor, place: string): StoredTensor {
  const name = readText(cursor, place, MAX_NAME);
  const what = named('tensor', name);
  const dims = cursor.take(4, what).readUInt32LE();
  if (dims < 1 || dims > MAX_DIMS) {
    throw corrupt(cursor, `${what} has ${dims} dimensions; 1 to ${MAX_DIMS} are possible`);
  }
  // The fastest dimension comes first in the file.
  const shape = Array.from({ length: dims }, () => readCount(cursor, what)).reverse();
  const typeId = cursor.take(4, what).readUInt32LE();
  const type = GGML_TYPES.get(typeId);
  if (!type) throw corrupt(cursor, `${what} has the unknown type ${typeId}`);
  const sizes = clip(`[${shape.join(', ')}]`);
  const count = shape.reduce((n, dim) => n * dim, 1);
  if (!Number.isSafeInteger(count) || shape.some((dim) => !Number.isSafeInteger(dim))) {
    throw corrupt(cursor, `${what} has the shape ${sizes}, larger than any file`);
  }
  const { blockSize, blockBytes } = type;
  const width = shape[shape.length - 1];
  if (width % blockSize !== 0) {
    throw corrupt(cursor, `${what} has rows of ${width}; ${type.name} has blocks of ${blockSize}`);
  }
  const offset = readCount(cursor, what);
  return {
    name,
    type: type.name,
    shape,
    file: cursor.file,
    offset,
    bytes: (count / blockSize) * blockBytes,
  };
}

/** Tensors at their places in the file, which no two share. */
function placed(
  cursor: FileCursor,
  table: readonly StoredTensor[],
  start: number,
  alignment: number,
): StoredTensor[] {
  const names = new Set<string>();
  const sorted = table.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 0;
  let before = '';
  for (const { name, offset, bytes } of sorted) {
    const what = named('tensor', name);
    if (names.has(name)) throw corrupt(cursor, `has the ${what} twice`);
    names.add(name);
    if (offset % alignment !== 0) {
      throw corrupt(
        cursor,
        `${what} begins at byte ${offset} of the data, which is no multiple of ${alignment}`,
      );
    }
    if (offset < end) {
      throw corrupt(cursor, `${what} begins at byte ${offset} of the data, inside of ${before}`);
    }
    end = offset + bytes;
    before = what;
    if (start + end > cursor.size) {
      throw corrupt(
        cursor,
        `${what} ends at byte ${start + end}, but the file has ${cursor.size}: it is cut short`,
      );
    }
  }
  return sorted.map((tensor) => Object.assign(tensor, { offset: start + tensor.offset }));
}
