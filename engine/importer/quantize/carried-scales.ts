import type { Graph } from '../graph.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { readersOf } from '../readers.js';
import type { Product } from './find-products.js';

/**
 * Products whose result need not be multiplied by the scales of its rows: it is only multiplied,
 * element by element, with something else, and only products read that. They take the factor of a
 * row along with their own:
 *
 *     down(act(gate) * (s up)) = s down(act(gate) * up)       s: one number a row
 *
 * which saves a pass over the widest tensor of a layer.
 *
 * @returns by the name of the activation that is to be multiplied: the product that leaves its
 *   scale to it
 */
export function carriedScales(
  graph: Graph,
  products: readonly Product[],
): ReadonlyMap<string, Product> {
  const readers = readersOf(graph);
  const byNode = new Map(products.map((product) => [product.node, product]));
  const onlyReader = (tensor: string): NodeProto | undefined => {
    const found = readers.get(tensor) ?? [];
    return found.length === 1 && !graph.outputs.has(tensor) ? found[0] : undefined;
  };
  const carried = new Map<string, Product>();
  for (const product of products) {
    if (product.bias !== '' || product.type !== Type.FLOAT) continue;
    const gate = onlyReader(product.node.output[0]);
    // (Its square would have the scale twice.)
    if (gate?.opType !== 'Mul' || gate.input[0] === gate.input[1]) continue;
    const [activation] = gate.output;
    // Of two products that are multiplied with each other, one is enough; and a row must stay a
    // row.
    if (carried.has(activation) || graph.outputs.has(activation)) continue;
    const next = readers.get(activation) ?? [];
    const takes = (node: NodeProto): boolean => {
      const reader = byNode.get(node);
      return reader?.activation === activation && reader.inputs === product.outputs;
    };
    if (next.length > 0 && next.every(takes)) carried.set(activation, product);
  }
  return carried;
}
