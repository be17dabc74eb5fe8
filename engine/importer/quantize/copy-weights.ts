import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength } from '../tensor-data.js';
import { TensorBytes, widen } from './stored-matrix.js';
import type { WeightsFile } from './weights-file.js';

/** Bytes of a weight that are read at a time. */
const PIECE = 16 * 2 ** 20;

/** Called after each piece of a weight, with the bytes that were read. */
export type OnPiece = (read: number, tensor: TensorProto) => Promise<void>;

/**
 * Writes external weights to `target`, and makes the graph read them there.
 *
 * @param narrow of float16 or bfloat16, which become float32; the others are copied byte for byte
 */
export async function copyWeights(
  file: string,
  tensors: readonly TensorProto[],
  narrow: ReadonlySet<TensorProto>,
  target: WeightsFile,
  onPiece: OnPiece,
): Promise<void> {
  const bytes = new TensorBytes(file);
  try {
    for (const tensor of tensors) {
      const { name, dims } = tensor;
      const dataType = narrow.has(tensor) ? Type.FLOAT : tensor.dataType;
      const pieces = piecesOf(tensor, bytes, narrow.has(tensor), onPiece);
      const { externalData } = await target.add(name, dims, dataType, pieces);
      Object.assign(tensor, { externalData, dataType });
    }
  } finally {
    bytes.close();
  }
}

async function* piecesOf(
  tensor: TensorProto,
  bytes: TensorBytes,
  isNarrow: boolean,
  onPiece: OnPiece,
): AsyncGenerator<Uint8Array> {
  const length = byteLength(tensor);
  const { dataType } = tensor;
  for (let at = 0; at < length; at += PIECE) {
    const piece = new Uint8Array(Math.min(PIECE, length - at));
    bytes.read(tensor, at, piece);
    yield isNarrow ? widened(piece, dataType) : piece;
    await onPiece(piece.length, tensor);
  }
}

function widened(piece: Uint8Array, dataType: Type): Uint8Array {
  const narrow = new Uint16Array(piece.buffer, piece.byteOffset, piece.length / 2);
  const wide = new Float32Array(narrow.length);
  widen(narrow, dataType, wide);
  return new Uint8Array(wide.buffer);
}
