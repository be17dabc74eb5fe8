import type { Graph } from './graph.js';
import { TensorProto_DataType as Type } from './onnx/onnx_pb.js';
import { readBytes } from './tensor-data.js';

/** Integers of a tensor that is a weight or a Constant; undefined for any other tensor. */
export function constantInts(graph: Graph, name: string | undefined): number[] | undefined {
  const maker = graph.producer(name ?? '');
  const tensor =
    maker?.opType === 'Constant'
      ? maker.attribute.find((attribute) => attribute.name === 'value')?.t
      : graph.initializer(name ?? '');
  if (tensor?.dataType !== Type.INT64) return undefined;
  if (tensor.int64Data.length > 0) return tensor.int64Data.map(Number);
  const bytes = Uint8Array.from(readBytes(tensor, graph.file));
  return Array.from(new BigInt64Array(bytes.buffer), Number);
}
