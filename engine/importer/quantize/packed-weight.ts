import { create } from '@bufbuild/protobuf';
import {
  middleOf,
  type PackedFormat,
  type Unpacked,
  unpackBlocks,
  unpackedMemory,
} from '../../checkpoint/packed/packed-format.js';
import {
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import type { UnpackedSizes } from '../onnx/unpack-node.js';
import type { TensorBytes } from './stored-matrix.js';

/** Bytes of a packed weight that are unpacked at a time. */
const PIECE = 2 ** 20;

/** Where rewritten weights go: a file, or memory. */
export interface WeightsTarget {
  readonly add: (
    name: string,
    dims: readonly bigint[],
    dataType: Type,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ) => Promise<TensorProto>;
}

/**
 * A weight in the form of com.microsoft.MatMulNBits, exactly: with q the numbers, s the scales and
 * m the middle of the range, `s * (q - m) + offset`, which is `s * (q - zero point)` with a zero
 * point that is a fraction. For these, ONNX Runtime unpacks the whole weight in each step; they are
 * for a conversion that follows.
 */
export interface BlockedWeight extends UnpackedSizes {
  /** `[rows, groups, group * bits / 8]` */
  readonly values: TensorProto;
  /** float32 `[rows, groups]`; the same for the next. */
  readonly scales: TensorProto;
  readonly offsets: TensorProto | null;
  readonly zeroPoints: TensorProto | null;
}

/**
 * Unpacks a weight, piece by piece.
 *
 * @param packed uint8, `[rows, bytes of a row]`
 * @param hasZeroPoints whether zero points are written besides offsets
 * @param onPiece called with the bytes of each piece that was read
 */
export async function writeBlocked(
  packed: TensorProto,
  sizes: UnpackedSizes,
  hasZeroPoints: boolean,
  bytes: TensorBytes,
  target: WeightsTarget,
  onPiece: (read: number) => Promise<void>,
): Promise<BlockedWeight> {
  const { format, rows, columns } = sizes;
  const { group, bits, hasLeast } = format;
  const groups = columns / group;
  const middle = middleOf(format);
  const scales = new Float32Array(rows * groups);
  const offsets = new Float32Array(hasLeast ? rows * groups : 0);
  const zeroPoints = new Float32Array(hasLeast && hasZeroPoints ? rows * groups : 0);

  async function* values(): AsyncGenerator<Uint8Array> {
    const rowBytes = (columns / format.blockSize) * format.blockBytes;
    const most = Math.max(1, Math.floor(PIECE / rowBytes));
    const memory = unpackedMemory(format, (most * columns) / format.blockSize);
    for (let row = 0; row < rows; row += most) {
      const raw = new Uint8Array(Math.min(most, rows - row) * rowBytes);
      bytes.read(packed, row * rowBytes, raw);
      unpackBlocks(format, raw, memory);
      const count = (raw.length / rowBytes) * groups;
      if (zeroPoints.length > 0) keepConstantGroups(memory, format, count);
      scales.set(memory.scales.subarray(0, count), row * groups);
      for (let i = 0; i < (hasLeast ? count : 0); i++) {
        const [scale, least] = [memory.scales[i], memory.least[i]];
        offsets[row * groups + i] = least + middle * scale;
        if (hasZeroPoints) zeroPoints[row * groups + i] = least === 0 ? 0 : -least / scale;
      }
      yield packedValues(memory.values.subarray(0, count * group), bits);
      await onPiece(raw.length);
    }
  }

  const { name } = packed;
  const blocked = [rows, groups, (group * bits) / 8].map(BigInt);
  const table = [rows, groups].map(BigInt);
  const add = (part: string, floats: Float32Array): Promise<TensorProto> =>
    target.add(`${name}/${part}`, table, Type.FLOAT, [
      new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength),
    ]);
  return {
    ...sizes,
    values: await target.add(`${name}/values`, blocked, Type.UINT8, values()),
    scales: await add('scales', scales),
    offsets: hasLeast ? await add('offsets', offsets) : null,
    zeroPoints: zeroPoints.length > 0 ? await add('zero_points', zeroPoints) : null,
  };
}

/** The same numbers as a table of rows, which are looked up: `[rows, columns * bits / 8]`. */
export function asRows({ values, rows, columns, format }: BlockedWeight): TensorProto {
  return create(TensorProtoSchema, {
    ...values,
    name: `${values.name}/rows`,
    dims: [rows, (columns * format.bits) / 8].map(BigInt),
  });
}

/** Groups whose numbers do not matter, as their scale is 0, get 1 times their least value. */
function keepConstantGroups(
  { values, scales, least }: Unpacked,
  { group }: PackedFormat,
  count: number,
): void {
  for (let i = 0; i < count; i++) {
    if (scales[i] !== 0) continue;
    scales[i] = least[i];
    least[i] = 0;
    values.fill(1, i * group, (i + 1) * group);
  }
}

/** Numbers of 4 bits, two in a byte, the first in its lower half. */
function packedValues(values: Uint8Array, bits: 4 | 8): Uint8Array {
  if (bits === 8) return values.slice();
  const packed = new Uint8Array(values.length / 2);
  for (let i = 0; i < packed.length; i++) packed[i] = values[2 * i] | (values[2 * i + 1] << 4);
  return packed;
}
