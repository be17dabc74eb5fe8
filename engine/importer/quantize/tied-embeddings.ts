import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import type { Matmul } from './find-matmuls.js';
import { DenseMatrix, type TensorBytes } from './stored-matrix.js';

/** Entries that are compared: so many floats are not equal by chance. */
const SAMPLED = 64;

/**
 * Whether an embedding table holds the numbers of the LM head: it is the same tensor, or a copy, as
 * most exporters write; then some entries in the middle are compared.
 */
export function isTied(table: TensorProto, head: Matmul, bytes: TensorBytes): boolean {
  const { source, inputs, outputs } = head;
  if (source.kind !== 'dense') return false;
  if (source.tensor === table) return true;
  if (source.tensor.dataType !== table.dataType || table.dataType !== Type.FLOAT) return false;
  const count = Math.min(SAMPLED, outputs);
  const first = Math.floor((outputs - count) / 2);
  const rows = new Float32Array(count * inputs);
  new DenseMatrix(table, bytes).read(first, count, rows);
  if (source.turned) {
    const others = new Float32Array(count * inputs);
    new DenseMatrix(source.tensor, bytes).read(first, count, others);
    return rows.every((x, i) => x === others[i]);
  }
  const piece = new Float32Array(count);
  const view = new Uint8Array(piece.buffer);
  for (let k = 0; k < inputs; k++) {
    bytes.read(source.tensor, (k * outputs + first) * 4, view);
    for (let r = 0; r < count; r++) if (piece[r] !== rows[r * inputs + k]) return false;
  }
  return true;
}
