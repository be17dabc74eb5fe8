import { OctavoError } from '../../errors.js';
import type { Recurrence } from '../../recurrent/recurrence.js';
import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import { MICROSOFT, makeNode } from '../onnx/nodes.js';
import { AttributeProto_AttributeType, type NodeProto } from '../onnx/onnx_pb.js';
import type { RecognizedRecurrence } from './recognizer.js';
import { SITE } from './replace-site.js';

/** Domains that have the operators of layers with a state: ONNX has them from opset 27 on. */
const DOMAINS = new Set([MICROSOFT, '', 'ai.onnx']);

export function nodesOf(graph: Graph, opType: string): NodeProto[] {
  return graph.nodes.filter((node) => node.opType === opType && DOMAINS.has(node.domain));
}

/** Values of attributes that are described or have no effect; null: any value. */
export type Allowed = Readonly<Record<string, readonly (number | string)[] | null>>;

/**
 * Each attribute of a node must be known, because later versions of an operator add some that
 * change the result.
 *
 * @throws OctavoError `model_unsupported`
 */
export function checkAttributes(graph: Graph, node: NodeProto, allowed: Allowed): void {
  for (const { name, type, i, f, s } of node.attribute) {
    const values = allowed[name];
    if (values === null) continue;
    const value =
      type === AttributeProto_AttributeType.INT
        ? Number(i)
        : type === AttributeProto_AttributeType.STRING
          ? new TextDecoder().decode(s)
          : f;
    if (values?.includes(value)) continue;
    const hint = values ? ` (only ${values.join(', ')})` : '';
    throw unsupportedState(graph, node, `the attribute ${name} ${value} is not supported${hint}`);
  }
}

export function stringAttribute(node: NodeProto, name: string, otherwise: string): string {
  const value = node.attribute.find((attribute) => attribute.name === name)?.s;
  return value === undefined ? otherwise : new TextDecoder().decode(value);
}

/**
 * The graph's input that holds a node's state before the step.
 *
 * @throws OctavoError `model_unsupported` when it has none of its own: what the scheduler keeps for
 *   the node would not be what the graph reads
 */
export function stateInputOf(graph: Graph, node: NodeProto, tensor: string | undefined): string {
  const cast = graph.producer(tensor ?? '');
  const name = cast?.opType === 'Cast' ? cast.input[0] : (tensor ?? '');
  const readers = readersOf(graph).get(name) ?? [];
  if (graph.inputs.has(name) && readers.length === 1) return name;
  const what = name ? `its state ${name} is` : 'its state is absent, or';
  throw unsupportedState(graph, node, `${what} not an input of the graph for this layer alone`);
}

/** Replaces a node by a placeholder; the old one is dead then. */
export function replaceStateNode(
  graph: Graph,
  node: NodeProto,
  recurrence: Recurrence,
  inputs: readonly string[],
): RecognizedRecurrence {
  const [output] = node.output;
  node.output[0] = `${output}/octavo.uncut`;
  const site = makeNode(SITE, node.name, inputs, [output]);
  graph.addNodes(site);
  return { form: node.opType, node: site, recurrence, inputs, output };
}

export function unsupportedState(graph: Graph, node: NodeProto, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${node.opType}): ${what}. Supported: layers with a state as the model builder of ` +
      'onnxruntime-genai 0.18 (-p fp32 -e cpu) and mobius 0.1 write them',
  );
}
