import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { OctavoError } from '../errors.js';
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
  [TensorProto_DataType.INT4]: 4,
  [TensorProto_DataType.UINT4]: 4,
  [TensorProto_DataType.FLOAT4E2M1]: 4,
};

/** Where a tensor's bytes lie when they are not in the protobuf itself. Offsets may lie beyond 4 GiB. */
export interface ExternalRange {
  /** Absolute. */
  readonly file: string;
  readonly offset: bigint;
  readonly length: bigint;
}

export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === TensorProto_DataLocation.EXTERNAL;
}

/** Bytes that a tensor's type and dimensions ask for; null for a type whose elements have no fixed size here. */
export function expectedBytes(tensor: TensorProto): number | null {
  const bits = BITS[tensor.dataType as TensorProto_DataType];
  if (bits === undefined) return null;
  const elements = tensor.dims.reduce((n, dim) => n * Number(dim), 1);
  return Math.ceil((elements * bits) / 8);
}

/** Bytes of a tensor, for reports. */
export function byteLength(tensor: TensorProto): number {
  return expectedBytes(tensor) ?? tensor.rawData.length;
}

/**
 * Resolves a tensor's external data, and makes sure that it is there.
 *
 * @throws OctavoError `model_file_corrupt` when it points outside the model's directory, does not fit the tensor, or the file
 *   is missing or too short
 */
export function externalRange(tensor: TensorProto, modelFile: string): ExternalRange {
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const directory = dirname(resolve(modelFile));
  const location = entries.get('location') ?? '';
  const file = resolve(directory, location);
  const inside = relative(directory, file);
  const fail = (what: string): OctavoError =>
    new OctavoError('model_file_corrupt', `${modelFile}: weight ${tensor.name}: ${what}`);
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
  if (needed !== null && length !== BigInt(needed)) {
    throw fail(
      `its external data has ${length} bytes; its shape [${tensor.dims.join(', ')}] needs ${needed}`,
    );
  }
  const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
  if (!stats) throw fail(`its external data file ${location} is missing`);
  if (!stats.isFile()) throw fail(`its external data ${location} is not a file`);
  if (offset + length > stats.size) {
    throw fail(
      `its external data ends at byte ${offset + length}, but ${location} has only ${stats.size} bytes`,
    );
  }
  return { file, offset, length };
}

/**
 * A float32 tensor's values, for the few that the importer itself needs (rotary tables, sinks).
 *
 * @throws OctavoError `model_unsupported` for another type
 */
export function readFloats(tensor: TensorProto, modelFile: string): Float32Array {
  if (tensor.dataType !== TensorProto_DataType.FLOAT) {
    const type = TensorProto_DataType[tensor.dataType] ?? tensor.dataType;
    throw new OctavoError(
      'model_unsupported',
      `${modelFile}: ${tensor.name} has the type ${type}; only FLOAT is supported here: export the model in float32`,
    );
  }
  if (isExternal(tensor)) return toFloats(readRange(externalRange(tensor, modelFile)));
  return tensor.rawData.length > 0 ? toFloats(tensor.rawData) : Float32Array.from(tensor.floatData);
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

/** A copy: the bytes of a protobuf field are not aligned. (`slice` of a Buffer would be a view.) */
function toFloats(bytes: Uint8Array): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}
