import type { Graph } from './graph.js';
import { LOGITS, STEP_INPUT } from './imported-model.js';
import type { NodeProto } from './onnx/onnx_pb.js';
import { type RecognizedSite, siteInputs } from './recognizers/recognizer.js';

/**
 * The part of a graph that depends only on positions and on the step's size, and on no token or
 * weight of a layer.
 */
export interface PositionalPart {
  readonly tensors: ReadonlySet<string>;
  /** In topological order, including nodes whose results are never read. */
  readonly nodes: readonly NodeProto[];
  /** Tensors that the rest of the graph reads, outside of attention: usually rotations. */
  readonly results: readonly string[];
}

export function positionalPart(graph: Graph, sites: readonly RecognizedSite[]): PositionalPart {
  const tensors = new Set<string>([STEP_INPUT.positionIds]);
  const nodes: NodeProto[] = [];
  for (const node of graph.nodes) {
    if (!isPositional(graph, node, tensors)) continue;
    nodes.push(node);
    for (const name of node.output) if (name !== '') tensors.add(name);
  }
  const results = new Set<string>();
  for (const node of liveNodes(graph, sites)) {
    if (node.output.some((name) => tensors.has(name))) continue;
    for (const name of node.input) if (tensors.has(name)) results.add(name);
  }
  return { tensors, nodes, results: [...results] };
}

function isPositional(graph: Graph, node: NodeProto, known: ReadonlySet<string>): boolean {
  const { opType, input, attribute } = node;
  if (opType === 'Shape' || opType === 'Size') {
    return input[0] === STEP_INPUT.inputIds || known.has(input[0]);
  }
  return (
    input.some((name) => known.has(name)) &&
    input.every((name) => known.has(name) || graph.isConstant(name)) &&
    attribute.every(({ g, graphs }) => !g && graphs.length === 0)
  );
}

/** Nodes on which the logits or the inputs of attention depend. */
function liveNodes(graph: Graph, sites: readonly RecognizedSite[]): NodeProto[] {
  const siteNodes = new Set(sites.map(({ node }) => node));
  const needed = new Set([LOGITS, ...sites.flatMap(siteInputs)]);
  return [...graph.nodes].reverse().filter((node) => {
    if (siteNodes.has(node) || !node.output.some((name) => needed.has(name))) return false;
    for (const name of node.input) if (name !== '') needed.add(name);
    return true;
  });
}
