import type { Graph } from './graph.js';
import { constantInts, PACKED_MATMULS } from './graph-queries.js';
import { intAttribute } from './onnx/nodes.js';
import type { NodeProto } from './onnx/onnx_pb.js';

/** Operators whose outputs have the same last dimension as their first input. */
const KEEPING = new Set([
  'Cast',
  'Clip',
  'DequantizeLinear',
  'Identity',
  'LayerNormalization',
  'LinearAttentionGate',
  'LpNormalization',
  'MRotaryEmbedding',
  'QuantizeLinear',
  'RMSNormalization',
  'RotaryEmbedding',
  'Sigmoid',
  'SimplifiedLayerNormalization',
  'Softplus',
]);
const ELEMENTWISE = new Set(['Add', 'Sub', 'Mul', 'Div']);
/**
 * Bound of the search: between a projection and its attention are a bias, a norm and a rotation,
 * each with reshapes.
 */
const MOST_NODES = 24;

/**
 * Last dimension of an activation, derived from the weights and constants that it is computed from,
 * not from what the model states. Undefined when an operator in between is unknown.
 *
 * @param onUnknown receives the node at which the search ended
 */
export function lastDimension(
  graph: Graph,
  tensor: string,
  onUnknown: (node: NodeProto) => void,
  steps = MOST_NODES,
): number | undefined {
  const node = graph.producer(tensor);
  const constant = graph.isConstant(tensor) ? constantDims(graph, tensor) : undefined;
  if (constant) return constant.at(-1);
  if (!node) return undefined;
  if (steps === 0) return tell(node, onUnknown);
  const of = (name: string): number | undefined => lastDimension(graph, name, onUnknown, steps - 1);
  const { opType, input } = node;
  if (PACKED_MATMULS.has(opType)) return intAttribute(node, 'N', 0) || undefined;
  switch (opType) {
    case 'MatMul':
    case 'MatMulInteger':
    case 'MatMulIntegerToFloat':
    case 'DynamicQuantizeMatMul':
      return (
        constantDims(graph, input[1])?.at(-1) ?? tell(graph.producer(input[1]) ?? node, onUnknown)
      );
    case 'Gemm':
      return constantDims(graph, input[1])?.at(intAttribute(node, 'transB', 0) === 1 ? 0 : 1);
    case 'Reshape':
      return positive(lastInt(graph, input[1])) ?? joinedWidth(graph, node, of);
    case 'Split':
      return splitSize(graph, node, tensor, of(input[0]));
    case 'Slice':
      return sliceSize(graph, node);
    case 'Concat':
      return sum(input.map(of));
    default:
      if (KEEPING.has(opType)) return of(input[0]);
      // The other operand may be a number, such as a scale: its last dimension is 1, or it has
      // none.
      return ELEMENTWISE.has(opType) ? largest(input.map(of)) : tell(node, onUnknown);
  }
}

function tell(node: NodeProto, onUnknown: (node: NodeProto) => void): undefined {
  onUnknown(node);
}

/** Dimensions of a weight, also when it is dequantized or transposed first. */
function constantDims(graph: Graph, tensor: string, steps = 4): readonly number[] | undefined {
  const weight = graph.weight(tensor);
  if (weight) return weight.dims.map(Number);
  const node = graph.producer(tensor);
  if (!node || steps === 0) return undefined;
  if (node.opType === 'Constant') {
    return node.attribute.find(({ name }) => name === 'value')?.t?.dims.map(Number);
  }
  const dims = (): readonly number[] | undefined => constantDims(graph, node.input[0], steps - 1);
  if (KEEPING.has(node.opType)) return dims();
  if (node.opType === 'Transpose') {
    const perm = node.attribute.find(({ name }) => name === 'perm')?.ints.map(Number);
    const before = dims();
    return perm ? perm.map((axis) => before?.[axis] ?? 0) : before?.toReversed();
  }
  return node.opType === 'Reshape' ? constantInts(graph, node.input[1]) : undefined;
}

function splitSize(
  graph: Graph,
  node: NodeProto,
  tensor: string,
  whole: number | undefined,
): number | undefined {
  const axis = intAttribute(node, 'axis', 0);
  const index = node.output.indexOf(tensor);
  if (axis !== -1 && axis !== 2) return whole;
  const stated = node.attribute.find(({ name }) => name === 'split')?.ints.map(Number);
  const sizes = constantInts(graph, node.input[1]) ?? stated;
  return sizes ? sizes[index] : whole && Math.ceil(whole / node.output.length);
}

/** Size of a Slice of the last dimension with constant begin and end. */
function sliceSize(graph: Graph, { input }: NodeProto): number | undefined {
  const [start, end, axis, step] = [1, 2, 3, 4].map((i) => constantInts(graph, input[i])?.[0]);
  const isPlain = (axis === 2 || axis === -1) && (step ?? 1) === 1;
  if (!isPlain || start === undefined || end === undefined || start < 0) return undefined;
  return end > start && end < 2 ** 31 ? end - start : undefined;
}

/** The last of some integers, which may be joined from constants and sizes of the step. */
function lastInt(graph: Graph, tensor: string): number | undefined {
  const node = graph.producer(tensor);
  const known = node?.opType === 'Concat' ? node.input.at(-1) : tensor;
  return constantInts(graph, known)?.at(-1);
}

/**
 * Width behind a Reshape that joins the heads again, `[batch, sequence, heads, size]` to
 * `[0, 0, -1]`, as behind norms of queries and keys. Heads may have been cut and joined along their
 * size in between (MLA), not along their number.
 */
function joinedWidth(
  graph: Graph,
  { input: [heads, shape] }: NodeProto,
  of: (name: string) => number | undefined,
): number | undefined {
  if (constantInts(graph, shape)?.join() !== '0,0,-1') return undefined;
  let node = graph.producer(heads);
  while (node && (KEEPING.has(node.opType) || ['Split', 'Concat'].includes(node.opType))) {
    node = graph.producer(node.input[0]);
  }
  const [, , count, size] = node?.opType === 'Reshape' ? (sizesOf(graph, node) ?? []) : [];
  if (!node || count === undefined || size === undefined) return undefined;
  const number = positive(count) ?? divided(of(node.input[0]), positive(size));
  return times(number, of(heads));
}

/** The four constant sizes that a Reshape of heads writes. */
function sizesOf(graph: Graph, { input }: NodeProto): number[] | undefined {
  const sizes = constantInts(graph, input[1]);
  return sizes?.length === 4 ? sizes : undefined;
}

/** A Reshape may write 0 (keep) and -1 (infer): those are no sizes. */
function positive(size: number | undefined): number | undefined {
  return size !== undefined && size > 0 ? size : undefined;
}

function divided(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}

function times(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a * b;
}

function largest(sizes: readonly (number | undefined)[]): number | undefined {
  const known = sizes.filter((size) => size !== undefined && size > 1);
  return known.length > 0 ? Math.max(...known.map(Number)) : undefined;
}

function sum(sizes: readonly (number | undefined)[]): number | undefined {
  return sizes.reduce((a, b) => (a === undefined || b === undefined ? undefined : a + b));
}
