import { intAttribute } from '../onnx/nodes.js';
import type { NodeProto, TensorProto } from '../onnx/onnx_pb.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { readAll, type StoredMatrix, type TensorBytes } from './stored-matrix.js';

/** Why a MatMulNBits node's weights cannot be unpacked, or null when they can. */
export function whyNotUnpacked(node: NodeProto): string | null {
  const bits = intAttribute(node, 'bits', 4);
  if (![2, 4, 8].includes(bits)) return `${bits}-bit weights`;
  if (node.input[4]) return 'a group index';
  return null;
}

/** The tensors of a MatMulNBits node, `[B, scales, zero points]`. */
export interface PackedTensors {
  readonly packed: TensorProto;
  readonly scales: TensorProto;
  readonly zeroPoints: TensorProto | null;
}

/**
 * The weights of com.microsoft.MatMulNBits: `packed[N][blocks][block_size * bits / 8]`, the lowest
 * bits of a byte first, with one scale for each block. Zero points are packed the same way, or have
 * the scales' type, or are the middle of the range. A row is an output channel.
 */
export class NBitsMatrix implements StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
  readonly #bits: number;
  readonly #blockSize: number;
  readonly #blocks: number;
  readonly #tensors: PackedTensors;
  readonly #bytes: TensorBytes;
  #scales: Float32Array | null = null;
  #zeroPoints: Float32Array | null = null;

  constructor(node: NodeProto, tensors: PackedTensors, bytes: TensorBytes) {
    this.rows = intAttribute(node, 'N', 0);
    this.columns = intAttribute(node, 'K', 0);
    this.#bits = intAttribute(node, 'bits', 4);
    this.#blockSize = intAttribute(node, 'block_size', 32);
    this.#blocks = Math.ceil(this.columns / this.#blockSize);
    this.#tensors = tensors;
    this.#bytes = bytes;
    this.bytes = this.rows * this.#rowBytes;
  }

  read(first: number, count: number, into: Float32Array): void {
    const scales = (this.#scales ??= readAll(this.#tensors.scales, this.#bytes));
    const zeroPoints = (this.#zeroPoints ??= this.#readZeroPoints());
    const rowBytes = this.#rowBytes;
    const raw = new Uint8Array(count * rowBytes);
    this.#bytes.read(this.#tensors.packed, first * rowBytes, raw);
    const { columns } = this;
    const [bits, blockSize, blocks] = [this.#bits, this.#blockSize, this.#blocks];
    const mask = 2 ** bits - 1;
    for (let r = 0; r < count; r++) {
      let byte = r * rowBytes;
      let at = r * columns;
      const end = at + columns;
      for (let block = (first + r) * blocks; at < end; block++) {
        const scale = scales[block];
        const zeroPoint = zeroPoints[block];
        const blockEnd = Math.min(at + blockSize, end);
        while (at < blockEnd) {
          // (Values of the last byte beyond the row are overwritten by the next row, or dropped at
          // the end.)
          for (let values = raw[byte++], left = 8; left > 0; left -= bits, values >>= bits) {
            into[at++] = ((values & mask) - zeroPoint) * scale;
          }
        }
        at = blockEnd;
      }
    }
  }

  get #rowBytes(): number {
    return (this.#blocks * this.#blockSize * this.#bits) / 8;
  }

  #unpack(bytes: Uint8Array, start: number, index: number): number {
    const bit = index * this.#bits;
    return (bytes[start + (bit >> 3)] >> (bit & 7)) & (2 ** this.#bits - 1);
  }

  /** One zero point for each block of each row. */
  #readZeroPoints(): Float32Array {
    const tensor = this.#tensors.zeroPoints;
    const all = new Float32Array(this.rows * this.#blocks);
    if (!tensor) return all.fill(2 ** (this.#bits - 1));
    if (tensor.dataType !== Type.UINT8) return readAll(tensor, this.#bytes);
    // Each row of zero points begins at a byte boundary.
    const stride = Math.ceil((this.#blocks * this.#bits) / 8);
    const raw = new Uint8Array(this.rows * stride);
    this.#bytes.read(tensor, 0, raw);
    for (let i = 0; i < all.length; i++) {
      all[i] = this.#unpack(raw, Math.floor(i / this.#blocks) * stride, i % this.#blocks);
    }
    return all;
  }
}
