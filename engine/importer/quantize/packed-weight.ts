import { create } from '@bufbuild/protobuf';
import { middleOf } from '../../checkpoint/packed/packed-format.js';
import { memoryOf, type PackedMatrix } from '../../checkpoint/packed/packed-matrix.js';
import {
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';

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
  /** Tensors that an interrupted attempt has written; null: they have to be added. */
  readonly kept: (names: readonly string[]) => readonly TensorProto[] | null;
}

/**
 * A weight in the form of com.microsoft.MatMulNBits, exactly. With q its numbers and s the scales,
 * it is `s * (q - z)`, z the zero points or else the middle m of the range; or, with offsets, `s *
 * (q - m) + offset`.
 */
export interface BlockedWeight {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly group: number;
  /** The inputs in the order of the columns; null: they have the same. */
  readonly order: Int32Array | null;
  /** `[rows, groups, group * bits / 8]` */
  readonly values: TensorProto;
  /** float32 `[rows, groups]`; offsets the same. */
  readonly scales: TensorProto;
  readonly offsets: TensorProto | null;
  /** `[rows, groups * bits / 8]`, each row in whole bytes. */
  readonly zeroPoints: TensorProto | null;
}

/**
 * Writes a weight, piece by piece.
 *
 * @param onPiece called with the bytes of each piece that was read
 */
export async function writeBlocked(
  name: string,
  matrix: PackedMatrix,
  target: WeightsTarget,
  onPiece: (read: number) => Promise<void>,
): Promise<BlockedWeight> {
  const { rows, columns, bits, group, order, origin, rowBytes } = matrix;
  const groups = columns / group;
  const middle = middleOf(matrix);
  const scales = new Float32Array(rows * groups);
  const offsets = new Float32Array(origin === 'least' ? rows * groups : 0);
  const pointBytes = Math.ceil((groups * bits) / 8);
  const zeroPoints = new Uint8Array(origin === 'zero-points' ? rows * pointBytes : 0);

  async function* values(): AsyncGenerator<Uint8Array> {
    const most = Math.max(1, Math.floor(PIECE / rowBytes));
    const memory = memoryOf(matrix, Math.min(most, rows));
    await matrix.prepare?.();
    for (let row = 0; row < rows; row += most) {
      const height = Math.min(most, rows - row);
      matrix.read(row, height, memory);
      const count = height * groups;
      scales.set(memory.scales.subarray(0, count), row * groups);
      for (let i = 0; i < (offsets.length > 0 ? count : 0); i++) {
        offsets[row * groups + i] = memory.least[i] + middle * memory.scales[i];
      }
      for (let r = 0; r < (zeroPoints.length > 0 ? height : 0); r++) {
        const own = memory.zeroPoints.subarray(r * groups, (r + 1) * groups);
        zeroPoints.set(packedNumbers(own, bits), (row + r) * pointBytes);
      }
      yield packedNumbers(memory.values.subarray(0, count * group), bits);
      await onPiece(height * rowBytes);
    }
  }

  const named = (part: string): string => `${name}/${part}`;
  const parts = ['values', 'scales'];
  if (offsets.length > 0) parts.push('offsets');
  if (zeroPoints.length > 0) parts.push('zero_points');
  const form = { rows, columns, bits, group, order };
  const kept = target.kept(parts.map(named));
  if (kept) {
    await onPiece(rows * rowBytes);
    const part = (of: string): TensorProto | null => kept[parts.indexOf(of)] ?? null;
    const [tensor, scale] = kept;
    const rest = { offsets: part('offsets'), zeroPoints: part('zero_points') };
    return { ...form, values: tensor, scales: scale, ...rest };
  }

  const blocked = [rows, groups, (group * bits) / 8].map(BigInt);
  const table = [rows, groups].map(BigInt);
  const add = (part: string, floats: Float32Array): Promise<TensorProto> =>
    target.add(named(part), table, Type.FLOAT, [
      new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength),
    ]);
  const points = [rows, pointBytes].map(BigInt);
  return {
    ...form,
    values: await target.add(named('values'), blocked, Type.UINT8, values()),
    scales: await add('scales', scales),
    offsets: offsets.length > 0 ? await add('offsets', offsets) : null,
    zeroPoints:
      zeroPoints.length > 0
        ? await target.add(named('zero_points'), points, Type.UINT8, [zeroPoints])
        : null,
  };
}

/** The same numbers as a table of rows, which are looked up: `[rows, columns * bits / 8]`. */
export function asRows({ values, rows, columns, bits }: BlockedWeight): TensorProto {
  return create(TensorProtoSchema, {
    ...values,
    name: `${values.name}/rows`,
    dims: [rows, (columns * bits) / 8].map(BigInt),
  });
}

/** Numbers of 4 bits, two in a byte, the first in its lower half. */
function packedNumbers(values: Uint8Array, bits: 4 | 8): Uint8Array {
  if (bits === 8) return values.slice();
  const packed = new Uint8Array(Math.ceil(values.length / 2));
  for (let i = 0; i < packed.length; i++) {
    packed[i] = values[2 * i] | ((values[2 * i + 1] ?? 0) << 4);
  }
  return packed;
}
