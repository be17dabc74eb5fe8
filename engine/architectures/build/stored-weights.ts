import { basename } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { PACKED_FORMATS } from '../../checkpoint/packed/index.js';
import type { StoredTensor } from '../../checkpoint/stored-tensor.js';
import {
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../../importer/onnx/onnx_pb.js';
import type { Weight } from '../decoder.js';

/** Types of stored tensors, those of the parts of quantized weights included. */
const TYPES: Readonly<Record<string, { readonly type: Type; readonly bytes: number }>> = {
  F32: { type: Type.FLOAT, bytes: 4 },
  F16: { type: Type.FLOAT16, bytes: 2 },
  BF16: { type: Type.BFLOAT16, bytes: 2 },
  I32: { type: Type.INT32, bytes: 4 },
  U8: { type: Type.UINT8, bytes: 1 },
  I8: { type: Type.INT8, bytes: 1 },
  F8_E4M3: { type: Type.FLOAT8E4M3FN, bytes: 1 },
  F8_E8M0: { type: Type.FLOAT8E8M0, bytes: 1 },
};

/** The name of a weight, or of a part of it, in a graph. */
export function nameOf({ name, matrix, rows }: Weight): string {
  const whole = matrix === undefined ? name : `${name}[${matrix}]`;
  return rows ? `${whole}[${rows.first}:${rows.first + rows.count}]` : whole;
}

/** A weight as a tensor that names its place. */
export function storedFloats(
  tensors: ReadonlyMap<string, StoredTensor>,
  weight: Weight,
): TensorProto {
  const { name } = weight;
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the weights were checked, but ${name} is missing`);
  return externalTensor(name, tensor, weight);
}

/** A stored tensor, or a part of it, as an initializer that names its place. */
export function externalTensor(
  name: string,
  { file, type, shape: whole, offset }: StoredTensor,
  { matrix, rows }: Pick<Weight, 'matrix' | 'rows'> = {},
): TensorProto {
  const packed = PACKED_FORMATS.get(type);
  const shape = matrix === undefined ? whole : whole.slice(1);
  // A packed row is so many bytes.
  const rest = packed ? [(shape[1] / packed.blockSize) * packed.blockBytes] : shape.slice(1);
  const dims = shape.length === 0 ? [] : [rows?.count ?? shape[0], ...rest];
  const width = packed ? 1 : TYPES[type].bytes;
  const rowBytes = rest.reduce((n, dim) => n * dim, width);
  const firstRow = (matrix ?? 0) * (shape[0] ?? 1) + (rows?.first ?? 0);
  const entries = {
    location: basename(file),
    offset: offset + firstRow * rowBytes,
    length: dims.reduce((n, dim) => n * dim, width),
  };
  return create(TensorProtoSchema, {
    name,
    dims: dims.map(BigInt),
    dataType: packed ? Type.UINT8 : TYPES[type].type,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value: String(value) }),
    ),
  });
}
