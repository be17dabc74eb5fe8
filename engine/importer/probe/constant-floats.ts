import { InferenceSession } from 'onnxruntime-node';
import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { readFloats } from '../tensor-data.js';
import { sliceGraph, writeSubgraph } from './subgraph.js';

/**
 * Floats of a tensor that depends on no input of the graph: a weight, or what nodes make of weights
 * (mobius expands the bias of a convolution from a number).
 *
 * @returns null when it is no constant, or of another type
 */
export async function constantFloats(graph: Graph, name: string): Promise<Float32Array | null> {
  if (!graph.isConstant(name)) return null;
  const weight = graph.initializer(name);
  if (weight) return readFloats(weight, graph.file);
  const types = new Map([...elementTypes(graph), [name, Type.FLOAT] as const]);
  const model = writeSubgraph(graph, sliceGraph(graph, [name], new Set()), [name], types);
  const session = await InferenceSession.create(model, { logSeverityLevel: 4 });
  try {
    const { data } = (await session.run({}))[name];
    return data instanceof Float32Array ? data.slice() : null;
  } finally {
    await session.release();
  }
}
