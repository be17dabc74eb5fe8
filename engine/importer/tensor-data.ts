import { type BigIntStats, closeSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { OctavoError } from '../errors.js';
import { fromFloat16 } from '../float16.js';
import {
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
} from './onnx/onnx_pb.js';

/** Bits of one element, for the types that weights have. */
const BITS: Partial<Record<TensorProto_DataType, number>> = {
  [TensorProto_DataType.FLOAT]: 32,
  [TensorProto_DataType.UINT8]: 8,
  [TensorProto_DataType.INT8]: 8,
  [TensorProto_DataType.UINT16]: 16,
  [TensorProto_DataType.INT16]: 16,
  [TensorProto_DataType.INT32]: 32,
  [TensorProto_DataType.INT64]: 64,
  [TensorProto_DataType.BOOL]: 8,
  [TensorProto_DataType.FLOAT16]: 16,
  [TensorProto_DataType.BFLOAT16]: 16,
  [TensorProto_DataType.DOUBLE]: 64,
  [TensorProto_DataType.UINT32]: 32,
  [TensorProto_DataType.UINT64]: 64,
  [TensorProto_DataType.FLOAT8E4M3FN]: 8,
  [TensorProto_DataType.FLOAT8E5M2]: 8,
  [TensorProto_DataType.FLOAT8E8M0]: 8,
  [TensorProto_DataType.INT4]: 4,
  [TensorProto_DataType.UINT4]: 4,
  [TensorProto_DataType.FLOAT4E2M1]: 4,
};

/** Where a tensor's bytes are when they are not in the protobuf. Offsets may exceed 4 GiB. */
export interface ExternalRange {
  /** Absolute path, symbolic links resolved. */
  readonly file: string;
  readonly offset: bigint;
  readonly length: bigint;
}

export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === TensorProto_DataLocation.EXTERNAL;
}

/**
 * Size in bytes by a tensor's type and dimensions; null for a type without a fixed element size.
 */
export function expectedBytes(tensor: TensorProto): number | null {
  const bits = BITS[tensor.dataType as TensorProto_DataType];
  if (bits === undefined) return null;
  const elements = tensor.dims.reduce((n, dim) => n * Number(dim), 1);
  return Math.ceil((elements * bits) / 8);
}

/** Size of a tensor in bytes, for reports. */
export function byteLength(tensor: TensorProto): number {
  return expectedBytes(tensor) ?? tensor.rawData.length;
}

/**
 * Resolves a tensor's external data and checks that it exists.
 *
 * @throws OctavoError `model_file_corrupt` when it points outside the model's directory, does not
 *   fit the tensor, or the file is missing or too short
 */
export function externalRange(tensor: TensorProto, modelFile: string): ExternalRange {
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const directory = dirname(resolve(modelFile));
  const location = entries.get('location') ?? '';
  const file = resolve(directory, location);
  const inside = relative(directory, file);
  const fail = (what: string): OctavoError =>
    new OctavoError('model_file_corrupt', `${modelFile}: weight ${tensor.name}: ${what}`);
  // Longer names, and those with control characters, mean that the file is damaged.
  if (location.length > 1024 || /\p{Cc}/u.test(location)) {
    throw fail(`its external data ${JSON.stringify(location.slice(0, 40))} is no name of a file`);
  }
  if (location === '' || isAbsolute(location) || inside.startsWith('..')) {
    throw fail(`its external data ${JSON.stringify(location)} lies outside the model's directory`);
  }
  const needed = expectedBytes(tensor);
  const number = (key: string, otherwise: number): bigint => {
    const value = entries.get(key) ?? String(otherwise);
    // BigInt() takes '', '0x10' and '-8' too.
    if (/^\d+$/.test(value)) return BigInt(value);
    throw fail(`its external data has the ${key} ${JSON.stringify(value)}; expected whole bytes`);
  };
  const offset = number('offset', 0);
  const length = number('length', needed ?? 0);
  // The product of the dimensions may exceed any file, or what a number represents exactly.
  if (needed !== null && (!Number.isSafeInteger(needed) || length !== BigInt(needed))) {
    throw fail(
      `its external data has ${length} bytes; its shape [${tensor.dims.join(', ')}] needs ${needed}`,
    );
  }
  let stats: BigIntStats | undefined;
  let real = file;
  try {
    stats = statSync(file, { bigint: true, throwIfNoEntry: false });
    if (stats) real = realpathSync(file);
  } catch (error) {
    throw fail(`its external data ${location} cannot be looked at: ${(error as Error).message}`);
  }
  if (!stats) throw fail(`its external data file ${location} is missing`);
  if (!stats.isFile()) throw fail(`its external data ${location} is not a file`);
  const root = linkRoot(realpathSync(directory));
  if (!real.startsWith(join(root, sep))) {
    throw fail(`its external data ${location} is a link to ${real}, outside the model's directory`);
  }
  if (offset + length > stats.size) {
    throw fail(
      `its external data ends at byte ${offset + length}, but ${location} has only ${stats.size} bytes`,
    );
  }
  return { file: real, offset, length };
}

/**
 * Where links in a model's directory may lead: inside the directory, or anywhere in a cache of the
 * hub, whose snapshots consist of links. (In an untrusted directory, a link could name any file
 * that this user can read.)
 */
function linkRoot(directory: string): string {
  return (
    /^(.+)[\\/]models--[^\\/]+[\\/]snapshots[\\/]/.exec(join(directory, sep))?.[1] ?? directory
  );
}

/**
 * A tensor's values as float32, for the few tensors that the importer itself needs (rotary tables,
 * sinks).
 *
 * @throws OctavoError `model_unsupported` for a type without floats
 */
export function readFloats(tensor: TensorProto, modelFile: string): Float32Array {
  const bytes = readBytes(tensor, modelFile);
  const type: number = tensor.dataType;
  switch (type) {
    case TensorProto_DataType.FLOAT:
      return bytes.length > 0 ? toFloats(bytes) : Float32Array.from(tensor.floatData);
    case TensorProto_DataType.FLOAT16:
      return halves(tensor, bytes, fromFloat16);
    case TensorProto_DataType.BFLOAT16:
      return halves(tensor, bytes, fromBfloat16);
    default:
      throw new OctavoError(
        'model_unsupported',
        `${modelFile}: ${tensor.name} has the type ${TensorProto_DataType[type] ?? type}; ` +
          'expected FLOAT, FLOAT16 or BFLOAT16: export the model in one of these',
      );
  }
}

function halves(
  tensor: TensorProto,
  bytes: Uint8Array,
  widen: (bits: number) => number,
): Float32Array {
  // Typed values of 16 bits are stored in the field for 32-bit integers.
  const bits = bytes.length > 0 ? new Uint16Array(new Uint8Array(bytes).buffer) : tensor.int32Data;
  return Float32Array.from(bits, widen);
}

function fromBfloat16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
}

/**
 * A tensor's bytes in the layout of ONNX's raw data, inline or external; empty when it has typed
 * values instead.
 */
export function readBytes(tensor: TensorProto, modelFile: string): Uint8Array {
  return isExternal(tensor) ? readRange(externalRange(tensor, modelFile)) : tensor.rawData;
}

function readRange({ file, offset, length }: ExternalRange): Uint8Array {
  const bytes = new Uint8Array(Number(length));
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(descriptor);
  }
  return bytes;
}

/**
 * Copies, because the bytes of a protobuf field are not aligned. (`slice` of a Buffer would be a
 * view.)
 */
function toFloats(bytes: Uint8Array): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}
