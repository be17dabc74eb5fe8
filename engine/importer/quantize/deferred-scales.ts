import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import type { Matmul } from './find-matmuls.js';

/**
 * Finds matmuls whose row scales can be applied later: the result is only multiplied, element by
 * element, with another tensor, and only matmuls read that. They apply the row's factor along with
 * their own:
 *
 *     down(act(gate) * (s up)) = s down(act(gate) * up)       s: one number a row
 *
 * This saves a pass over the widest tensor of a layer.
 *
 * @returns the matmul whose scale is deferred, by the name of the activation that carries it
 */
export function deferredScales(
  graph: Graph,
  matmuls: readonly Matmul[],
): ReadonlyMap<string, Matmul> {
  const readers = readersOf(graph);
  const byNode = new Map(matmuls.map((matmul) => [matmul.node, matmul]));
  const onlyReader = (tensor: string): NodeProto | undefined => {
    const found = readers.get(tensor) ?? [];
    return found.length === 1 && !graph.outputs.has(tensor) ? found[0] : undefined;
  };
  const deferred = new Map<string, Matmul>();
  for (const matmul of matmuls) {
    if (matmul.bias !== '' || matmul.type !== Type.FLOAT) continue;
    const gate = onlyReader(matmul.node.output[0]);
    // (Its square would have the scale twice.)
    if (gate?.opType !== 'Mul' || gate.input[0] === gate.input[1]) continue;
    const [activation] = gate.output;
    // Only one of two matmuls that are multiplied with each other defers its scale; and rows must
    // stay rows.
    if (deferred.has(activation) || graph.outputs.has(activation)) continue;
    const next = readers.get(activation) ?? [];
    const takes = (node: NodeProto): boolean => {
      const reader = byNode.get(node);
      return reader?.activation === activation && reader.inputs === matmul.outputs;
    };
    if (next.length > 0 && next.every(takes)) deferred.set(activation, matmul);
  }
  return deferred;
}
