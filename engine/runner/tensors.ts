import type { Tensor } from 'onnxruntime-node';

/** A step's tensors by name. */
export type Tensors = ReadonlyMap<string, Tensor>;

export function take(tensors: Tensors, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`no segment or site has computed ${name}`);
  return tensor;
}

export function floats(tensor: Tensor): Float32Array {
  if (tensor.data instanceof Float32Array) return tensor.data;
  throw new Error(`expected a float32 tensor, got ${tensor.type}`);
}

export function int32s(tensor: Tensor): Int32Array {
  if (tensor.data instanceof Int32Array) return tensor.data;
  throw new Error(`expected an int32 tensor, got ${tensor.type}`);
}
