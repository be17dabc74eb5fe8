import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { PACKED_MATMULS } from '../graph-queries.js';
import { intAttribute, shapeOf } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { CacheFlow } from './cache-flow.js';

/** Operators that may be between attention and its output projection. */
const BETWEEN = new Set([
  'Transpose',
  'Reshape',
  'Cast',
  'Identity',
  'Squeeze',
  // (Guards rows without any key.)
  'Where',
  'DynamicQuantizeLinear',
]);

/**
 * Number of query heads, from the weight that reads attention's output: it has one row for each
 * float of all heads. The output's own shape would state it, too, but exporters leave that open.
 */
export function headCount(graph: Graph, flow: CacheFlow, output: string, past: string): number {
  const headSize = shapeOf(graph.inputs.get(past))?.[3] ?? 0;
  const open = new Set([output]);
  for (const name of open) {
    for (const node of flow.consumers(name)) {
      const rows = rowsOf(graph, node, name);
      if (rows > 0 && headSize > 0 && rows % headSize === 0) return rows / headSize;
      if (BETWEEN.has(node.opType)) open.add(node.output[0]);
    }
  }
  throw new OctavoError(
    'model_unsupported',
    `${graph.file}: no weight of [heads * ${headSize || 'head size'}, hidden] reads ${output}, the output of attention`,
  );
}

function rowsOf(graph: Graph, node: NodeProto, input: string): number {
  if (node.input[0] !== input) return 0;
  const dims = graph.weight(node.input[1])?.dims.map(Number);
  switch (node.opType) {
    case 'MatMul':
    case 'MatMulInteger':
      return dims?.at(-2) ?? 0;
    case 'Gemm':
      return dims?.[intAttribute(node, 'transB', 0) === 1 ? 1 : 0] ?? 0;
    default:
      return PACKED_MATMULS.has(node.opType) ? intAttribute(node, 'K', 0) : 0;
  }
}
