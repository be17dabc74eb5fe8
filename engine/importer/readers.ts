import type { Graph } from './graph.js';
import type { NodeProto } from './onnx/onnx_pb.js';

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
