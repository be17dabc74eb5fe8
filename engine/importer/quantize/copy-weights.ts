import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength } from '../tensor-data.js';
import { type TensorBytes, widen } from './stored-matrix.js';
import type { WeightsFile } from './weights-file.js';

/** Bytes of a weight that are read at a time. */
const PIECE = 16 * 2 ** 20;

/** Makes a tensor's external data its copy in `target`, byte for byte. */
export async function copyWeight(
  tensor: TensorProto,
  bytes: TensorBytes,
  target: WeightsFile,
): Promise<void> {
  const { name, dims, dataType } = tensor;
  const copy = await target.add(name, dims, dataType, pieces(tensor, bytes));
  Object.assign(tensor, { externalData: copy.externalData });
}

/**
 * Makes a tensor of float16 or bfloat16 one of float32 in `target`.
 *
 * @param onPiece called with the bytes of each piece that was read
 */
export async function widenWeight(
  tensor: TensorProto,
  bytes: TensorBytes,
  target: WeightsFile,
  onPiece: (read: number) => Promise<void>,
): Promise<void> {
  const { name, dims, dataType } = tensor;
  const copy = await target.add(name, dims, Type.FLOAT, widened());
  Object.assign(tensor, { externalData: copy.externalData, dataType: Type.FLOAT });

  async function* widened(): AsyncGenerator<Uint8Array> {
    for (const piece of pieces(tensor, bytes)) {
      const narrow = new Uint16Array(piece.buffer, piece.byteOffset, piece.length / 2);
      const wide = new Float32Array(narrow.length);
      widen(narrow, dataType, wide);
      yield new Uint8Array(wide.buffer);
      await onPiece(piece.length);
    }
  }
}

function* pieces(tensor: TensorProto, bytes: TensorBytes): Generator<Uint8Array> {
  const length = byteLength(tensor);
  for (let at = 0; at < length; at += PIECE) {
    const piece = new Uint8Array(Math.min(PIECE, length - at));
    bytes.read(tensor, at, piece);
    yield piece;
  }
}
