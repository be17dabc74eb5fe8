import { create } from '@bufbuild/protobuf';
import type { Graph } from './graph.js';
import { type NodeProto, TensorProtoSchema, TensorProto_DataType as Type } from './onnx/onnx_pb.js';
import { readBytes } from './tensor-data.js';

/**
 * The nodes that read each tensor, in the graph's present state. A node that reads a tensor twice
 * is listed once.
 */
export function readersOf(graph: Graph): ReadonlyMap<string, readonly NodeProto[]> {
  const readers = new Map<string, NodeProto[]>();
  for (const node of graph.nodes) {
    for (const name of new Set(node.input)) {
      const known = readers.get(name);
      if (known) known.push(node);
      else readers.set(name, [node]);
    }
  }
  return readers;
}

/** Makes nodes read another tensor in the place of one. */
export function replaceInput(readers: readonly NodeProto[] = [], from: string, to: string): void {
  for (const reader of readers) {
    for (const [index, name] of reader.input.entries()) if (name === from) reader.input[index] = to;
  }
}

/** Integers of a tensor that is a weight or a Constant; undefined for any other tensor. */
export function constantInts(graph: Graph, name: string | undefined): number[] | undefined {
  const maker = graph.producer(name ?? '');
  const given = maker?.opType === 'Constant' ? maker.attribute : [];
  const ints = given.find((attribute) => attribute.name === 'value_ints')?.ints;
  if (ints) return ints.map(Number);
  const tensor =
    maker?.opType === 'Constant'
      ? given.find((attribute) => attribute.name === 'value')?.t
      : graph.initializer(name ?? '');
  if (tensor?.dataType !== Type.INT64) return undefined;
  if (tensor.int64Data.length > 0) return tensor.int64Data.map(Number);
  const bytes = Uint8Array.from(readBytes(tensor, graph.file));
  return Array.from(new BigInt64Array(bytes.buffer), Number);
}

/**
 * Matmuls of com.microsoft with packed weights: the weight's shape does not state the sizes, the
 * attributes K (inputs) and N (outputs) do.
 */
export const PACKED_MATMULS: ReadonlySet<string> = new Set(['MatMulNBits', 'MatMulBnb4']);

/**
 * Adds int64 weights to the graph: sizes, axes and bounds that its nodes read.
 *
 * @param dims of the weight; none for a scalar
 * @returns its name
 */
export function addInt64s(
  graph: Graph,
  name: string,
  values: readonly number[],
  dims: readonly number[] = [values.length],
): string {
  graph.addInitializer(
    create(TensorProtoSchema, {
      name,
      dataType: Type.INT64,
      dims: dims.map(BigInt),
      int64Data: values.map(BigInt),
    }),
  );
  return name;
}
