import { create } from '@bufbuild/protobuf';
import type { Graph } from './graph.js';
import { makeNode } from './onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from './onnx/onnx_pb.js';
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

/** The version of the standard operators. */
function operatorSet(graph: Graph): number {
  const standard = graph.model.opsetImport.find(({ domain }) => ['', 'ai.onnx'].includes(domain));
  return Number(standard?.version ?? 0);
}

/**
 * A dimension of 1 before all others. Before operator set 13, the axes are an attribute.
 *
 * @param firstAxis name of a weight [0]
 */
export function unsqueezeNode(
  graph: Graph,
  name: string,
  from: string,
  firstAxis: string,
): NodeProto {
  return operatorSet(graph) >= 13
    ? makeNode('Unsqueeze', name, [from, firstAxis], [name])
    : withAxes(makeNode('Unsqueeze', name, [from], [name]), [0n]);
}

function withAxes(node: NodeProto, ints: bigint[]): NodeProto {
  const axes = { name: 'axes', type: AttributeProto_AttributeType.INTS, ints };
  node.attribute.push(create(AttributeProtoSchema, axes));
  return node;
}

/**
 * Maxima over the last axis, which stays. Before operator set 18, the axes of ReduceMax are an
 * attribute.
 *
 * @param lastAxis name of a weight [-1]
 */
export function reduceMaxNode(
  graph: Graph,
  name: string,
  from: string,
  lastAxis: string,
): NodeProto {
  if (operatorSet(graph) >= 18) {
    return makeNode('ReduceMax', name, [from, lastAxis], [name], { keepdims: 1 });
  }
  return withAxes(makeNode('ReduceMax', name, [from], [name], { keepdims: 1 }), [-1n]);
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
