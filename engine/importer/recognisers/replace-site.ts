import { create } from '@bufbuild/protobuf';
import { type Graph, makeNode } from '../graph.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../onnx/onnx_pb.js';
import type { ObservedSite } from '../probe/observe-site.js';
import type { HeadLayout, SiteCandidate } from './candidate.js';
import type { RecognisedSite } from './recogniser.js';

/** Operator of the nodes that stand for attention until the graph is cut there. */
export const SITE = 'Octavo.Attention';

/**
 * Puts one node in the place of a candidate's nodes, which nothing reads then. Where heads come first in the graph, moves
 * to and from `[1, T, heads * headSize]` go around it.
 */
export function replaceSite(
  graph: Graph,
  site: SiteCandidate,
  { shape, outputRank }: ObservedSite,
): RecognisedSite {
  const { numHeads, numKvHeads, headSize } = shape;
  const moves: NodeProto[] = [];
  const rows = (name: string, layout: HeadLayout, heads: number): string => {
    if (layout === 'tokens') return name;
    const moved = toTokens(graph, name, heads, headSize);
    moves.push(...moved);
    return moved[moved.length - 1].output[0];
  };
  const query = rows(site.query, site.queryLayout, numHeads);
  const key = rows(site.key, site.keyLayout, numKvHeads);
  const value = rows(site.value, site.keyLayout, numKvHeads);
  const attended = site.outputLayout === 'tokens' ? site.output : `${site.output}/octavo.attended`;
  const place = site.node.output.indexOf(site.output);
  site.node.output[place] = `${site.output}/octavo.uncut`;
  if (site.outputLayout === 'heads') {
    moves.push(...toHeads(graph, attended, site.output, [numHeads, headSize], outputRank));
  }
  const node = makeNode(SITE, site.node.name, [query, key, value], [attended]);
  graph.addNodes(...moves, node);
  return { form: site.form, node, shape, query, key, value, output: attended };
}

/** `[1, H, T, D]` or `[H, T, D]` to `[1, T, H * D]`. */
function toTokens(graph: Graph, name: string, heads: number, headSize: number): NodeProto[] {
  const base = `${name}/octavo.tokens`;
  const rows = int64(graph, `${base}.rows`, [1, -1, heads * headSize]);
  const maker = graph.producer(name);
  const perm = maker?.attribute.find((a) => a.name === 'perm')?.ints.map(Number);
  // Usually it was moved there from [1, T, H, D] just before.
  if (maker?.opType === 'Transpose' && perm?.join() === '0,2,1,3') {
    return [makeNode('Reshape', base, [maker.input[0], rows], [base])];
  }
  const three = int64(graph, `${base}.heads`, [heads, -1, headSize]);
  return [
    makeNode('Reshape', `${base}.split`, [name, three], [`${base}.split`]),
    swap(`${base}.swap`, `${base}.split`, `${base}.swap`),
    makeNode('Reshape', base, [`${base}.swap`, rows], [base]),
  ];
}

/** `[1, T, H * D]` to `[1, H, T, D]`, or to `[H, T, D]`. */
function toHeads(
  graph: Graph,
  from: string,
  to: string,
  sizes: readonly [heads: number, headSize: number],
  rank: number,
): NodeProto[] {
  const dims = rank === 3 ? [-1, ...sizes] : [1, -1, ...sizes];
  const perm = rank === 3 ? [1, 0, 2] : [0, 2, 1, 3];
  const split = `${to}/octavo.split`;
  return [
    makeNode('Reshape', split, [from, int64(graph, `${split}.dims`, dims)], [split]),
    transpose(`${to}/octavo.swap`, split, to, perm),
  ];
}

function swap(name: string, from: string, to: string): NodeProto {
  return transpose(name, from, to, [1, 0, 2]);
}

function transpose(name: string, from: string, to: string, perm: readonly number[]): NodeProto {
  const node = makeNode('Transpose', name, [from], [to]);
  node.attribute.push(
    create(AttributeProtoSchema, {
      name: 'perm',
      type: AttributeProto_AttributeType.INTS,
      ints: perm.map(BigInt),
    }),
  );
  return node;
}

function int64(graph: Graph, name: string, values: readonly number[]): string {
  graph.addInitializer(
    create(TensorProtoSchema, {
      name,
      dataType: TensorProto_DataType.INT64,
      dims: [BigInt(values.length)],
      int64Data: values.map(BigInt),
    }),
  );
  return name;
}
