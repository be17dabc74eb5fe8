import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { makeNode } from '../onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
} from '../onnx/onnx_pb.js';
import { INPUTS, inputOf, unsupported } from './group-query-options.js';

/** Default of the operator's specification. */
const DEFAULT_EPSILON = 1e-6;

interface Sizes {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
}

/**
 * Moves the norms of queries and keys out of GroupQueryAttention, into nodes before it. The model
 * builder puts them inside for `-e cuda` and `-e webgpu`, for which ONNX Runtime's CPU provider has
 * no kernel. By the operator's specification, each head is normalized by itself,
 *
 *     x / sqrt(mean(x^2) + epsilon) * weight
 *
 * before it is rotated; and the rotation is part of the attention that is cut out.
 *
 * @param node has separate query and key
 * @returns names of the normalized query and key
 */
export function writeOutNorms(graph: Graph, node: NodeProto, sizes: Sizes): [string, string] {
  const [query, key] = [inputOf(node, 'query'), inputOf(node, 'key')];
  const weights = [inputOf(node, 'q_norm_weight'), inputOf(node, 'k_norm_weight')];
  if (weights.every((weight) => !weight)) return [query, key];
  for (const [i, name] of (['q_norm_weight', 'k_norm_weight'] as const).entries()) {
    const dims = graph.weight(weights[i])?.dims.join(', ');
    if (dims === `${sizes.headSize}`) continue;
    const found = dims === undefined ? weights[i] || 'absent' : `[${dims}]`;
    const what = `its ${name} is ${found}; expected a weight of [${sizes.headSize}]`;
    throw unsupported(graph, node, what);
  }
  const width = [sizes.numHeads, sizes.numKvHeads].map((n) => n * sizes.headSize);
  const nodes = [
    ...norm(graph, query, weights[0], [sizes.headSize, width[0]], epsilonOf(node, 'q')),
    ...norm(graph, key, weights[1], [sizes.headSize, width[1]], epsilonOf(node, 'k')),
  ];
  // The node reads them, too, so that the graph keeps its meaning for later passes.
  node.input.splice(0, 2, normed(query), normed(key));
  for (const name of ['q_norm_weight', 'k_norm_weight'] as const) {
    node.input[INPUTS.indexOf(name)] = '';
  }
  graph.addNodes(...nodes);
  return [normed(query), normed(key)];
}

function epsilonOf(node: NodeProto, side: 'q' | 'k'): number {
  const stated = (name: string): number | undefined =>
    node.attribute.find((attribute) => attribute.name === name)?.f;
  return stated(`${side}_norm_epsilon`) ?? stated('qk_norm_epsilon') ?? DEFAULT_EPSILON;
}

function normed(tensor: string): string {
  return `${tensor}/octavo.normed`;
}

/** `[1, T, heads * headSize]`, normalized as `[1, T * heads, headSize]`. */
function norm(
  graph: Graph,
  from: string,
  weight: string,
  [headSize, width]: readonly [number, number],
  epsilon: number,
): NodeProto[] {
  const to = normed(from);
  const [heads, flat] = [`${to}.heads`, `${to}.flat`];
  const node = makeNode('SimplifiedLayerNormalization', to, [heads, weight], [flat], { axis: -1 });
  node.attribute.push(
    create(AttributeProtoSchema, {
      name: 'epsilon',
      type: AttributeProto_AttributeType.FLOAT,
      f: epsilon,
    }),
  );
  return [
    makeNode(
      'Reshape',
      heads,
      [from, addInt64s(graph, `${heads}.dims`, [0, -1, headSize])],
      [heads],
    ),
    node,
    makeNode('Reshape', flat, [flat, addInt64s(graph, `${flat}.dims`, [0, -1, width])], [to]),
  ];
}
