import { type Graph, intAttribute, shapeOf } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** Inputs of the standard Attention operator of opset 24, by position. */
const INPUT = { key: 1, value: 2, mask: 3, past: 4, pastValue: 5, validLengths: 6 };

/**
 * Opset 24 knows a second kind of cache, of a fixed size, which TensorScatter writes into before the node reads all of it:
 *
 *     TensorScatter(cache, fresh keys, where) -> Attention(queries, K, V, nonpad_kv_seqlen)
 *
 * Where a sequence is and how long are the scheduler's business, so such a node is made one that joins past and fresh itself: what
 * it computes for rows of valid keys is the same.
 *
 * @returns what about the node is not so; null when it has been rewritten, or reads no such cache
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
  const odd = writers.map((writer) => (writer ? whyOdd(graph, writer) : null)).find(Boolean);
  if (odd) return odd;
  if (!lengths && !node.input[INPUT.mask])
    return 'its lack of nonpad_kv_seqlen and attn_mask, over a cache of a fixed size,';
  node.input[INPUT.key] = key.input[1];
  node.input[INPUT.value] = value.input[1];
  node.input[INPUT.mask] ??= '';
  node.input[INPUT.past] = key.input[0];
  node.input[INPUT.pastValue] = value.input[0];
  node.input.length = INPUT.validLengths;
  // ONNX Runtime takes a past only from a node that gives a present.
  const [output] = node.output;
  node.output.splice(1, 2, `${output}/octavo.present_key`, `${output}/octavo.present_value`);
  return null;
}

function writerOf(graph: Graph, tensor: string | undefined): NodeProto | undefined {
  const node = graph.producer(tensor ?? '');
  return node?.opType === 'TensorScatter' ? node : undefined;
}

function whyOdd(graph: Graph, writer: NodeProto): string | null {
  const [cache] = writer.input;
  const rank = shapeOf(graph.inputs.get(cache))?.length;
  const axis = intAttribute(writer, 'axis', -2);
  if (rank !== 4 || (axis !== -2 && axis !== 2)) {
    return `a cache (${cache}) that is not an input of [batch, kv heads, length, head size]`;
  }
  const mode = writer.attribute.find(({ name }) => name === 'mode')?.s;
  return mode !== undefined && new TextDecoder().decode(mode) === 'circular'
    ? `a cache (${cache}) that is written in a circle`
    : null;
}
