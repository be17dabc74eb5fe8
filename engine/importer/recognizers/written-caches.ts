import { clone, create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { intAttribute, shapeOf } from '../onnx/nodes.js';
import {
  type NodeProto,
  TensorShapeProto_DimensionSchema,
  ValueInfoProtoSchema,
} from '../onnx/onnx_pb.js';

/** Inputs of the standard Attention operator of opset 24, by position. */
const INPUT = { key: 1, value: 2, mask: 3, past: 4, pastValue: 5, validLengths: 6 };

/**
 * Opset 24 has a second kind of cache, of a fixed size. TensorScatter writes into it before the
 * node reads all of it:
 *
 *     TensorScatter(cache, fresh keys, where) -> Attention(queries, K, V, nonpad_kv_seqlen)
 *
 * The scheduler knows where a sequence is stored and how long it is, so such a node is rewritten to
 * join past and fresh keys itself: for rows of valid keys, it computes the same. Caches are
 * `[batch, kv heads, length, head size]`, or, with mobius, `[batch, length, kv heads * head size]`,
 * as the node's own keys are. A past that the node joins has the first layout.
 *
 * @returns why the node cannot be rewritten; null when it has been, or when it reads no such cache
 */
export function readWrittenCaches(graph: Graph, node: NodeProto): string | null {
  const writers = [INPUT.key, INPUT.value].map((index) => writerOf(graph, node.input[index]));
  const lengths = node.input[INPUT.validLengths] ?? '';
  if (!writers.some((writer) => writer !== undefined)) {
    return lengths
      ? `its input nonpad_kv_seqlen (${lengths}) without a cache that TensorScatter writes`
      : null;
  }
  const [key, value] = writers;
  if (!key || !value) return 'of its K and V only one comes from a cache that TensorScatter writes';
  const heads = intAttribute(node, 'kv_num_heads', 0);
  const odd = [key, value].map((writer) => whyOdd(graph, writer, heads)).find(Boolean);
  if (odd) return odd;
  if (!lengths && !node.input[INPUT.mask])
    return 'its lack of nonpad_kv_seqlen and attn_mask, over a cache of a fixed size,';
  node.input[INPUT.key] = key.input[1];
  node.input[INPUT.value] = value.input[1];
  node.input[INPUT.mask] ??= '';
  node.input[INPUT.past] = withHeads(graph, key.input[0], heads);
  node.input[INPUT.pastValue] = withHeads(graph, value.input[0], heads);
  node.input.length = INPUT.validLengths;
  // ONNX Runtime accepts a past only if the node outputs a present.
  const [output] = node.output;
  node.output.splice(1, 2, `${output}/octavo.present_key`, `${output}/octavo.present_value`);
  return null;
}

function writerOf(graph: Graph, tensor: string | undefined): NodeProto | undefined {
  const node = graph.producer(tensor ?? '');
  return node?.opType === 'TensorScatter' ? node : undefined;
}

/**
 * @param heads number of heads when the keys are `[batch, tokens, heads * size]`; 0 for the other
 *   layout
 */
function whyOdd(graph: Graph, writer: NodeProto, heads: number): string | null {
  const [cache] = writer.input;
  const shape = shapeOf(graph.inputs.get(cache));
  const axis = intAttribute(writer, 'axis', -2);
  const width = shape?.[2] ?? 0;
  const isApart = shape?.length === 4 && (axis === -2 || axis === 2);
  const isSideBySide = shape?.length === 3 && (axis === -2 || axis === 1);
  if (!isApart && !(isSideBySide && heads > 0 && width > 0 && width % heads === 0)) {
    const expected =
      '[batch, kv heads, length, head size] or [batch, length, kv heads * head size]';
    return `a cache (${cache}) that is not an input of ${expected}`;
  }
  const mode = writer.attribute.find(({ name }) => name === 'mode')?.s;
  return mode !== undefined && new TextDecoder().decode(mode) === 'circular'
    ? `a cache (${cache}) that is written in a circle`
    : null;
}

/**
 * The cache as `[batch, heads, length, size]`: a new input, when the graph has the other layout.
 */
function withHeads(graph: Graph, cache: string, heads: number): string {
  const info = graph.inputs.get(cache);
  const shape = shapeOf(info);
  if (!info || shape?.length !== 3) return cache;
  const name = `${cache}/octavo.heads`;
  const apart = clone(ValueInfoProtoSchema, info);
  apart.name = name;
  const type = apart.type?.value;
  if (type?.case === 'tensorType') {
    const { dim } = type.value.shape ?? { dim: [] };
    const size = (value: number): (typeof dim)[number] =>
      create(TensorShapeProto_DimensionSchema, {
        value: { case: 'dimValue', value: BigInt(value) },
      });
    dim.splice(1, 2, size(heads), dim[1], size((shape[2] ?? 0) / heads));
  }
  graph.inputs.set(name, apart);
  return name;
}
