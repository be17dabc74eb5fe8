import { create } from '@bufbuild/protobuf';
import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { lastDimension } from '../last-dimension.js';
import { intAttribute, MICROSOFT, shapeOf } from '../onnx/nodes.js';
import {
  type NodeProto,
  type TensorShapeProto,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  type ValueInfoProto,
} from '../onnx/onnx_pb.js';
import { CacheFlow } from './cache-flow.js';

/** The number of heads in a node's query, and the tensors that cache its keys and values. */
interface Heads {
  readonly beside: number;
  /** Number of heads in a cache; null when only the cache's shape states it. */
  readonly cached: number | null;
  readonly caches: readonly string[];
}

/**
 * Writes the head size into the shapes of the caches of GroupQueryAttention and MultiHeadAttention.
 * It follows from the weights: the width of the query divided by its heads. Exporters may leave it
 * open (the model builder does since 0.15, whose files also serve quantized caches); where they
 * state it, both must agree.
 *
 * @throws OctavoError `model_unsupported` when no weight states the size, or a cache disagrees
 */
export function stateHeadSizes(graph: Graph): void {
  const flow = new CacheFlow(graph);
  let stated = 0;
  for (const node of graph.nodes.filter(({ domain }) => domain === MICROSOFT)) {
    const heads = headsOf(flow, node);
    if (!heads) continue;
    const infos = heads.caches.map((name) => graph.inputs.get(name) ?? graph.outputs.get(name));
    const size = sizeByWeights(graph, node, heads.beside);
    for (const info of infos) {
      const last = shapeOf(info)?.at(-1);
      if (info && last && last !== size) {
        throw unsupported(
          graph,
          node,
          `its weights make heads of ${size}, its cache ${info.name} has heads of ${last}`,
        );
      }
      if (info && setLast(info, heads.cached, size)) stated += 1;
    }
  }
  if (stated > 0) graph.rewrites.push(`took the head size of ${stated} caches from the weights`);
}

/** Undefined when the numbers of heads make no sense: the recognizer then refuses the node. */
function headsOf(flow: CacheFlow, node: NodeProto): Heads | undefined {
  const input = (index: number): string => node.input[index] ?? '';
  const numHeads = intAttribute(node, 'num_heads', 0);
  if (numHeads < 1) return undefined;
  const present = node.output.slice(1, 3);
  const named = (names: readonly (string | undefined)[]): string[] =>
    names.flatMap((name) => name || []);
  if (node.opType === 'GroupQueryAttention') {
    const numKvHeads = intAttribute(node, 'kv_num_heads', 0);
    if (numKvHeads < 1) return undefined;
    const beside = input(1) ? numHeads : numHeads + 2 * numKvHeads;
    return { beside, cached: numKvHeads, caches: named([input(3), input(4), ...present]) };
  }
  if (node.opType !== 'MultiHeadAttention') return undefined;
  const pasts = [1, 2].map((i) => flow.cacheOf(input(i + 5), input(i))?.past);
  return { beside: numHeads, cached: null, caches: named([...pasts, ...present]) };
}

function sizeByWeights(graph: Graph, node: NodeProto, beside: number): number {
  let unknown = '';
  const width = lastDimension(graph, node.input[0], ({ name, opType }) => {
    unknown = ` (behind node ${name}, ${opType})`;
  });
  if (width === undefined) {
    throw unsupported(
      graph,
      node,
      `no weight tells how wide its query ${node.input[0]} is${unknown}, and so its heads`,
    );
  }
  if (width % beside === 0) return width / beside;
  throw unsupported(
    graph,
    node,
    `its query is ${width} wide, which ${beside} heads of one size (num_heads, kv_num_heads) do not fill`,
  );
}

/** @returns whether the size was open */
function setLast(info: ValueInfoProto, heads: number | null, size: number): boolean {
  const type = info.type?.value;
  if (type?.case !== 'tensorType') return false;
  type.value.shape ??= shapeProto([null, heads, null, null]);
  const dims = type.value.shape.dim;
  if (dims.length !== 4 || dims[3].value.case === 'dimValue') return false;
  dims[3].value = { case: 'dimValue', value: BigInt(size) };
  return true;
}

function shapeProto(sizes: readonly (number | null)[]): TensorShapeProto {
  const dim = sizes.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      ...(size !== null && { value: { case: 'dimValue', value: BigInt(size) } as const }),
    }),
  );
  return create(TensorShapeProtoSchema, { dim });
}

function unsupported(graph: Graph, node: NodeProto, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${node.opType}): ${what}`,
  );
}
