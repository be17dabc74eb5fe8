import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import { floatAttribute, importMicrosoft, MICROSOFT, makeNode } from '../onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
} from '../onnx/onnx_pb.js';

/** ONNX Runtime's nodes that add before they norm, by the norm's own. */
const JOINED = new Map([
  ['SimplifiedLayerNormalization', 'SkipSimplifiedLayerNormalization'],
  ['LayerNormalization', 'SkipLayerNormalization'],
]);
/** Which of their outputs is the sum. */
const SUM = 3;

/**
 * A sum of two tensors of one shape and the norm of it become one node, as the model builder writes
 * them. A layer has two residual sums, and each node costs some microseconds in every step.
 *
 * @param graph a built one, in which an Add of two tensors that no weight determines has no
 *   broadcasting
 */
export function joinResiduals(graph: Graph): void {
  const readers = readersOf(graph);
  const gone = new Set<NodeProto>();
  const added: NodeProto[] = [];
  for (const norm of graph.nodes) {
    const opType = JOINED.get(norm.opType);
    const sum = graph.producer(norm.input[0]);
    if (opType === undefined || sum?.opType !== 'Add' || gone.has(sum)) continue;
    if (sum.input.some((name) => graph.isConstant(name))) continue;
    const name = sum.output[0];
    const isRead = (readers.get(name)?.length ?? 0) > 1 || graph.outputs.has(name);
    const outputs = isRead
      ? [norm.output[0], ...Array<string>(SUM - 1).fill(''), name]
      : norm.output;
    const joined = makeNode(opType, norm.name, [...sum.input, ...norm.input.slice(1)], outputs);
    joined.domain = MICROSOFT;
    joined.attribute.push(
      create(AttributeProtoSchema, {
        name: 'epsilon',
        type: AttributeProto_AttributeType.FLOAT,
        f: floatAttribute(norm, 'epsilon', 1e-5),
      }),
    );
    gone.add(sum).add(norm);
    added.push(joined);
  }
  if (added.length === 0) return;
  importMicrosoft(graph.model);
  graph.replaceNodes([...gone], added);
}
