import { memoryOf, type PackedMatrix } from '../../checkpoint/packed/packed-matrix.js';
import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import type { WeightsTarget } from './packed-weight.js';
import type { WeightTensors } from './quantize-matmuls.js';
import type { StoredMatrix } from './stored-matrix.js';

/** Floats that are written at a time: 4 MiB. */
const PIECE = 2 ** 20;

type OnPiece = (read: number) => Promise<void>;

/** Writes a matrix as float32, piece by piece. */
export async function writeDense(
  name: string,
  matrix: StoredMatrix,
  target: WeightsTarget,
  onPiece: OnPiece,
): Promise<TensorProto> {
  const { rows, columns } = matrix;
  async function* pieces(): AsyncGenerator<Uint8Array> {
    const most = Math.max(1, Math.floor(PIECE / columns));
    for (let row = 0; row < rows; row += most) {
      const count = Math.min(most, rows - row);
      const floats = new Float32Array(count * columns);
      matrix.read(row, count, floats);
      yield new Uint8Array(floats.buffer);
      await onPiece((matrix.bytes / rows) * count);
    }
  }
  const kept = target.kept([`${name}/floats`]);
  if (kept) {
    await onPiece(matrix.bytes);
    return kept[0];
  }
  return target.add(`${name}/floats`, [rows, columns].map(BigInt), Type.FLOAT, pieces());
}

/** Writes int8 numbers as matmuls need them, `[inputs, outputs]`, with a scale for each output. */
export async function writeInt8(
  name: string,
  matrix: PackedMatrix,
  target: WeightsTarget,
  onPiece: OnPiece,
): Promise<WeightTensors> {
  const { rows, columns, group } = matrix;
  const scales = new Float32Array(rows);
  async function* values(): AsyncGenerator<Uint8Array> {
    const turned = new Int8Array(rows * columns);
    const most = Math.min(rows, 64);
    const memory = memoryOf(matrix, most);
    for (let row = 0; row < rows; row += most) {
      const count = Math.min(most, rows - row);
      matrix.read(row, count, memory);
      for (let c = 0; c < columns; c++) {
        for (let r = 0; r < count; r++) {
          turned[c * rows + row + r] = memory.values[r * columns + c] - 128;
        }
      }
      for (let r = 0; r < count; r++) scales[row + r] = memory.scales[(r * columns) / group];
      await onPiece(count * columns);
    }
    yield new Uint8Array(turned.buffer);
  }
  const kept = target.kept([`${name}/int8`, `${name}/scales`]);
  if (kept) {
    await onPiece(rows * columns);
    return { values: kept[0], scales: kept[1] };
  }
  const sizes = [columns, rows].map(BigInt);
  return {
    values: await target.add(`${name}/int8`, sizes, Type.INT8, values()),
    scales: await target.add(`${name}/scales`, [BigInt(rows)], Type.FLOAT, [
      new Uint8Array(scales.buffer),
    ]),
  };
}
