import { type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength } from '../tensor-data.js';
import { WeightKernel } from './kernel/weight-kernel.js';
import { TensorBytes } from './stored-matrix.js';
import type { WeightsFile } from './weights-file.js';

/** Bytes of a weight that are read at a time. */
const PIECE = 4 * 2 ** 20;

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
  const kernel = new WeightKernel();
  try {
    for (const tensor of tensors) {
      const { name, dims } = tensor;
      const dataType = narrow.has(tensor) ? Type.FLOAT : tensor.dataType;
      const kept = target.kept([name]);
      if (kept) await onPiece(byteLength(tensor), tensor);
      const pieces = piecesOf(tensor, bytes, narrow.has(tensor) ? kernel : null, onPiece);
      const [{ externalData }] = kept ?? [await target.add(name, dims, dataType, pieces)];
      Object.assign(tensor, { externalData, dataType });
    }
  } finally {
    bytes.close();
  }
}

/** @param kernel widens the numbers; null: they stay what they are */
async function* piecesOf(
  tensor: TensorProto,
  bytes: TensorBytes,
  kernel: WeightKernel | null,
  onPiece: OnPiece,
): AsyncGenerator<Uint8Array> {
  const length = byteLength(tensor);
  for (let at = 0; at < length; at += PIECE) {
    const count = Math.min(PIECE, length - at);
    const read = (piece: Uint8Array): Uint8Array => {
      bytes.read(tensor, at, piece);
      return piece;
    };
    yield kernel ? widened(kernel, tensor, count, read) : read(new Uint8Array(count));
    await onPiece(count, tensor);
  }
}

function widened(
  kernel: WeightKernel,
  { dataType }: TensorProto,
  bytes: number,
  read: (piece: Uint8Array) => void,
): Uint8Array {
  kernel.reset();
  const raw = kernel.take(bytes);
  const floats = kernel.take(2 * bytes);
  read(kernel.bytes(raw, bytes));
  kernel.exports.widenAll(raw, dataType === Type.BFLOAT16, bytes / 2, floats);
  return kernel.bytes(floats, 2 * bytes);
}
