import type { Graph } from '../graph.js';
import { importMicrosoft, MICROSOFT, makeNode } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/**
 * Matmuls with a weight that is stored as `[outputs, inputs]` take it as it lies. ONNX Runtime
 * would turn it when a session is created, which takes time and, until that is done, the weight's
 * memory once more; FusedMatMul packs it for its kernel directly.
 */
export function turnWeights(graph: Graph): void {
  const gone: NodeProto[] = [];
  const added: NodeProto[] = [];
  for (const node of graph.nodes) {
    const turn = node.opType === 'MatMul' ? graph.producer(node.input[1]) : undefined;
    if (turn?.opType !== 'Transpose' || !graph.isConstant(turn.input[0])) continue;
    if (!turnsMatrix(graph, turn)) continue;
    const inputs = [node.input[0], turn.input[0]];
    const fused = makeNode('FusedMatMul', node.name, inputs, node.output, { transB: 1 });
    fused.domain = MICROSOFT;
    gone.push(node);
    added.push(fused);
  }
  if (added.length === 0) return;
  importMicrosoft(graph.model);
  graph.replaceNodes(gone, added);
}

function turnsMatrix(graph: Graph, turn: NodeProto): boolean {
  const order = turn.attribute.find(({ name }) => name === 'perm')?.ints.join();
  return graph.weight(turn.input[0])?.dims.length === 2 && order !== '0,1';
}
