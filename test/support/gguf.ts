import { GGML_TYPES } from '../../engine/checkpoint/ggml-types.js';

/** A value of metadata with the number of its type. */
export type Value =
  | { readonly type: 4 | 5; readonly value: number }
  | { readonly type: 6; readonly value: number }
  | { readonly type: 7; readonly value: boolean }
  | { readonly type: 8; readonly value: string }
  | {
      readonly type: 9;
      readonly of: 5 | 6 | 7 | 8;
      readonly value: readonly (number | string | boolean)[];
    };

/** A tensor of a file that a test writes; what is left out is right. */
export interface WrittenTensor {
  readonly name: string;
  /** The slowest dimension first. */
  readonly shape: readonly number[];
  readonly data: Uint8Array;
  /** Number of the type; default F32. */
  readonly type?: number;
  readonly offset?: number;
}

export interface WrittenGguf {
  readonly metadata: readonly (readonly [key: string, value: Value])[];
  readonly tensors: readonly WrittenTensor[];
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: number;
  readonly keyCount?: number;
  readonly alignment?: number;
}

export const number = (value: number): Value => ({ type: Number.isInteger(value) ? 4 : 6, value });
export const float = (value: number): Value => ({ type: 6, value });
export const text = (value: string): Value => ({ type: 8, value });
export const flag = (value: boolean): Value => ({ type: 7, value });
export const texts = (value: readonly string[]): Value => ({ type: 9, of: 8, value });
export const ints = (value: readonly number[]): Value => ({ type: 9, of: 5, value });
export const flags = (value: readonly boolean[]): Value => ({ type: 9, of: 7, value });
export const floats = (value: readonly number[]): Value => ({ type: 9, of: 6, value });

/** Bytes of a GGUF file, right or not. */
export function gguf(file: WrittenGguf): Buffer {
  const { metadata, tensors, magic = 'GGUF', version = 3, alignment = 32 } = file;
  const parts: Buffer[] = [
    Buffer.from(magic),
    u32(version),
    u64(file.tensorCount ?? tensors.length),
    u64(file.keyCount ?? metadata.length),
  ];
  for (const [key, value] of metadata) parts.push(string(key), u32(value.type), ...bytesOf(value));
  let end = 0;
  const data: Buffer[] = [];
  for (const { name, shape, type = 0, offset = end, data: bytes } of tensors) {
    parts.push(string(name), u32(shape.length), ...shape.toReversed().map(u64), u32(type));
    parts.push(u64(offset));
    const padded = Math.ceil(bytes.length / alignment) * alignment;
    data.push(Buffer.concat([bytes, Buffer.alloc(padded - bytes.length)]));
    end += padded;
  }
  const head = Buffer.concat(parts);
  const padding = Buffer.alloc(Math.ceil(head.length / alignment) * alignment - head.length);
  return Buffer.concat([head, padding, ...data]);
}

export const typeId = (name: string): number =>
  [...GGML_TYPES].find(([, type]) => type.name === name)?.[0] ?? -1;

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function string(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function bytesOf(value: Value): Buffer[] {
  switch (value.type) {
    case 7:
      return [Buffer.of(value.value ? 1 : 0)];
    case 8:
      return [string(value.value)];
    case 9:
      return [
        u32(value.of),
        u64(value.value.length),
        ...value.value.map((v) => element(value.of, v)),
      ];
    case 4:
    case 5:
    case 6:
      return [element(value.type, value.value)];
  }
}

function element(type: 4 | 5 | 6 | 7 | 8, value: number | string | boolean): Buffer {
  if (typeof value === 'boolean') return Buffer.of(value ? 1 : 0);
  if (typeof value === 'string') return string(value);
  if (type === 4) return u32(value);
  const bytes = Buffer.alloc(4);
  if (type === 5) bytes.writeInt32LE(value);
  else bytes.writeFloatLE(value);
  return bytes;
}
