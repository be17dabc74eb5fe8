import { Tensor } from 'onnxruntime-node';
import { int64 } from '../runner/step-batch.js';

// What the graphs of blocks (block-graphs.ts) take and give, as tensors in the host's memory.

/** Input `from`: the blocks that are read. */
export const fromBlocks = (blocks: readonly number[]): { readonly from: Tensor } => ({
  from: new Tensor('int64', int64(blocks), [blocks.length]),
});

/** Input `to`: the blocks that are written. */
export const toBlocks = (blocks: readonly number[]): { readonly to: Tensor } => ({
  to: new Tensor('int64', int64(blocks), [blocks.length, 1]),
});

/**
 * A tensor for the device. From Node 24 on, ONNX Runtime's JavaScript makes a Float16Array of the
 * bits, whose size its binding (1.30.0) takes for 0: "not enough space". The binding reads `data`,
 * which is therefore given the bits again.
 */
export function float16Tensor(bits: Uint16Array, dims: readonly number[]): Tensor {
  const tensor = new Tensor('float16', bits, dims);
  return Object.defineProperty(tensor, 'data', { value: bits });
}

/** Node has typed arrays of float16 from version 24 on; before, they are of uint16. */
export function bytesOf({ data }: Tensor): Uint8Array {
  if (!ArrayBuffer.isView(data)) throw new Error('expected a tensor in the host memory');
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
