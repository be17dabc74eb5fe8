import { closeSync, openSync, writeSync } from 'node:fs';

// The file format of llama.cpp (ggml's docs/gguf.md, version 3): header, metadata, tensor table,
// then the tensors, all little-endian.

const VERSION = 3;
const ALIGNMENT = 32;

/** A metadata value with its type on file. */
export type GgufValue =
  | { readonly type: 'uint32' | 'int32' | 'float32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'int32s'; readonly value: readonly number[] };

const VALUE_TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8 } as const;
const ARRAY = 9;

/** Type numbers of ggml, and how many bytes a block of how many numbers takes. */
export const GGML_TYPES = {
  F32: { id: 0, blockSize: 1, blockBytes: 4 },
  Q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  Q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
} as const;

export type GgmlType = keyof typeof GGML_TYPES;

export interface GgufTensor {
  readonly name: string;
  /** The fastest dimension first, as ggml has them: a matrix is `[columns, rows]`. */
  readonly dims: readonly number[];
  readonly type: GgmlType;
  /** The tensor's bytes, in pieces. */
  readonly data: () => Iterable<Uint8Array>;
}

export function ggufBytes({ dims, type }: Pick<GgufTensor, 'dims' | 'type'>): number {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  return (dims.reduce((a, b) => a * b, 1) / blockSize) * blockBytes;
}

/** @throws Error when a tensor's data is not as long as its shape says */
export function writeGguf(
  path: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensor[],
): void {
  const head = new ByteWriter();
  head.text('GGUF');
  head.uint32(VERSION);
  head.uint64(tensors.length);
  head.uint64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) writeEntry(head, key, value);
  let offset = 0;
  for (const tensor of tensors) {
    head.string(tensor.name);
    head.uint32(tensor.dims.length);
    for (const dim of tensor.dims) head.uint64(dim);
    head.uint32(GGML_TYPES[tensor.type].id);
    head.uint64(offset);
    offset = aligned(offset + ggufBytes(tensor));
  }
  const file = openSync(path, 'w');
  try {
    head.pad();
    writeSync(file, head.bytes());
    for (const tensor of tensors) {
      let written = 0;
      for (const piece of tensor.data()) written += writeSync(file, piece);
      if (written !== ggufBytes(tensor)) {
        throw new Error(`${tensor.name}: ${written} bytes instead of ${ggufBytes(tensor)}`);
      }
      writeSync(file, new Uint8Array(aligned(written) - written));
    }
  } finally {
    closeSync(file);
  }
}

const aligned = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

function writeEntry(head: ByteWriter, key: string, entry: GgufValue): void {
  head.string(key);
  switch (entry.type) {
    case 'strings':
      head.uint32(ARRAY);
      head.uint32(VALUE_TYPES.string);
      head.uint64(entry.value.length);
      for (const text of entry.value) head.string(text);
      break;
    case 'int32s':
      head.uint32(ARRAY);
      head.uint32(VALUE_TYPES.int32);
      head.uint64(entry.value.length);
      for (const number of entry.value) head.int32(number);
      break;
    case 'bool':
      head.uint32(VALUE_TYPES.bool);
      head.bool(entry.value);
      break;
    case 'string':
      head.uint32(VALUE_TYPES.string);
      head.string(entry.value);
      break;
    case 'uint32':
    case 'int32':
    case 'float32':
      head.uint32(VALUE_TYPES[entry.type]);
      head[entry.type](entry.value);
      break;
  }
}

/** Bytes that grow. */
class ByteWriter {
  #buffer = Buffer.alloc(2 ** 16);
  #length = 0;

  uint32(value: number): void {
    const at = this.#take(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  int32(value: number): void {
    const at = this.#take(4);
    this.#buffer.writeInt32LE(value, at);
  }

  float32(value: number): void {
    const at = this.#take(4);
    this.#buffer.writeFloatLE(value, at);
  }

  uint64(value: number): void {
    const at = this.#take(8);
    this.#buffer.writeBigUInt64LE(BigInt(value), at);
  }

  bool(value: boolean): void {
    const at = this.#take(1);
    this.#buffer.writeUInt8(Number(value), at);
  }

  text(value: string): void {
    const at = this.#take(Buffer.byteLength(value));
    this.#buffer.write(value, at);
  }

  /** With its length in front. */
  string(value: string): void {
    this.uint64(Buffer.byteLength(value));
    this.text(value);
  }

  pad(): void {
    this.#take(aligned(this.#length) - this.#length);
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Makes room, of zeros; the buffer may be another one afterwards. @returns where it begins */
  #take(bytes: number): number {
    const start = this.#length;
    this.#length += bytes;
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, 2 * this.#buffer.length));
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    return start;
  }
}
