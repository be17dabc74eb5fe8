import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { makeNode } from '../onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
} from '../onnx/onnx_pb.js';
import type { ObservedSite } from '../probe/observe-site.js';
import type { HeadLayout, SiteCandidate } from '../site-candidate.js';
import type { RecognizedAttention } from './recognizer.js';

/** Operator of the placeholder nodes for sites, at which the graph is cut. */
export const SITE = 'Octavo.Site';

/**
 * Replaces a candidate's nodes by one node; the old nodes are dead then. Where the graph has heads
 * first, nodes around it convert to and from `[1, T, heads * headSize]`. Where keys and values
 * differ in width, the narrower are padded with zeros before it and cut after it. Guards for rows
 * without any key are bypassed.
 */
export function replaceSite(
  graph: Graph,
  site: SiteCandidate,
  { shape, sizes, outputRank }: ObservedSite,
): RecognizedAttention {
  const { numHeads, numKvHeads, headSize } = shape;
  const { keySize, valueSize } = sizes;
  const added: NodeProto[] = [];
  const rows = (name: string, layout: HeadLayout, heads: number, size: number): string => {
    const moved = layout === 'tokens' ? [] : toTokens(graph, name, heads, size);
    const tokens = moved.at(-1)?.output[0] ?? name;
    const wide = size === headSize ? [] : widen(graph, tokens, heads, [size, headSize]);
    added.push(...moved, ...wide);
    return wide.at(-1)?.output[0] ?? tokens;
  };
  const query = rows(site.query, site.queryLayout, numHeads, keySize);
  const key = site.reads ? null : rows(site.key, site.keyLayout, numKvHeads, keySize);
  const value = site.reads ? null : rows(site.value, site.keyLayout, numKvHeads, valueSize);
  const narrow =
    site.outputLayout === 'tokens' ? site.output : `${site.output}/octavo.attended_tokens`;
  const attended = valueSize === headSize ? narrow : `${site.output}/octavo.attended`;
  const place = site.node.output.indexOf(site.output);
  site.node.output[place] = `${site.output}/octavo.uncut`;
  if (attended !== narrow)
    added.push(...cutHeads(graph, attended, narrow, numHeads, [headSize, valueSize]));
  if (site.outputLayout === 'heads') {
    added.push(...toHeads(graph, narrow, site.output, [numHeads, valueSize], outputRank));
  }
  for (const { node: guard, passed } of site.guards) {
    guard.opType = 'Identity';
    guard.input.splice(0, guard.input.length, passed);
  }
  const reads = [query, key, value].filter((name) => name !== null);
  const node = makeNode(SITE, site.node.name, reads, [attended]);
  graph.addNodes(...added, node);
  const { form, pastKey: cache } = site;
  return { form, node, shape, query, key, value, output: attended, cache };
}

/** `[1, T, H * from]` to `[1, T, H * to]`, with zeros at the end of each head. */
function widen(
  graph: Graph,
  name: string,
  heads: number,
  [from, to]: readonly [from: number, to: number],
): NodeProto[] {
  const base = `${name}/octavo.wide`;
  const pads = addInt64s(graph, `${base}.pads`, [0, 0, 0, 0, 0, 0, 0, to - from]);
  const split = addInt64s(graph, `${base}.split`, [1, -1, heads, from]);
  const rows = addInt64s(graph, `${base}.rows`, [1, -1, heads * to]);
  return [
    makeNode('Reshape', `${base}.heads`, [name, split], [`${base}.heads`]),
    makeNode('Pad', `${base}.padded`, [`${base}.heads`, pads], [`${base}.padded`]),
    makeNode('Reshape', base, [`${base}.padded`, rows], [base]),
  ];
}

/** `[1, T, H * from]` to `[1, T, H * to]`, without the end of each head. */
function cutHeads(
  graph: Graph,
  name: string,
  output: string,
  heads: number,
  [from, to]: readonly [from: number, to: number],
): NodeProto[] {
  const base = `${output}/octavo.narrow`;
  const split = addInt64s(graph, `${base}.split`, [1, -1, heads, from]);
  const bounds = [0, to, 3].map((value, i) => addInt64s(graph, `${base}.bound${i}`, [value]));
  const rows = addInt64s(graph, `${base}.rows`, [1, -1, heads * to]);
  return [
    makeNode('Reshape', `${base}.heads`, [name, split], [`${base}.heads`]),
    makeNode('Slice', `${base}.cut`, [`${base}.heads`, ...bounds], [`${base}.cut`]),
    makeNode('Reshape', base, [`${base}.cut`, rows], [output]),
  ];
}

/** `[1, H, T, D]` or `[H, T, D]` to `[1, T, H * D]`. */
function toTokens(graph: Graph, name: string, heads: number, headSize: number): NodeProto[] {
  const base = `${name}/octavo.tokens`;
  const rows = addInt64s(graph, `${base}.rows`, [1, -1, heads * headSize]);
  const maker = graph.producer(name);
  const perm = maker?.attribute.find((a) => a.name === 'perm')?.ints.map(Number);
  // Usually the graph has just moved it there from [1, T, H, D].
  if (maker?.opType === 'Transpose' && perm?.join() === '0,2,1,3') {
    return [makeNode('Reshape', base, [maker.input[0], rows], [base])];
  }
  const three = addInt64s(graph, `${base}.heads`, [heads, -1, headSize]);
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
    makeNode('Reshape', split, [from, addInt64s(graph, `${split}.dims`, dims)], [split]),
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
