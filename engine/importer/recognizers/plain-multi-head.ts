import { clone } from '@bufbuild/protobuf';
import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { intAttribute, MICROSOFT, makeNode, shapeOf } from '../onnx/nodes.js';
import { type NodeProto, type ValueInfoProto, ValueInfoProtoSchema } from '../onnx/onnx_pb.js';

/** Inputs of com.microsoft.Attention and com.microsoft.MultiHeadAttention, by position. */
const FUSED = { input: 0, weights: 1, bias: 2, mask: 3, past: 4, attentionBias: 5, pastLength: 6 };
const PLAIN = { query: 0, key: 1, value: 2, bias: 3, past: 6 };

/** Attributes that both operators have under the same name. */
const SHARED = new Set(['num_heads', 'unidirectional', 'mask_filter_value', 'scale']);

/**
 * ONNX Runtime's optimizer fuses more than attention into its attention nodes:
 * `com.microsoft.Attention` also multiplies by the packed weights of query, key and value, and
 * keeps both caches in one input, `[2, batch, heads, past, headSize]`; MultiHeadAttention adds a
 * bias. This pass turns them back into separate nodes around a MultiHeadAttention of separate
 * query, key and value.
 *
 * @throws OctavoError `model_unsupported`: names the node that cannot be split, and why
 */
export function unfuseAttention(graph: Graph): void {
  const fused = graph.nodes.filter(
    ({ opType, domain }) => opType === 'Attention' && domain === MICROSOFT,
  );
  for (const node of fused) unfuse(graph, node);
  if (fused.length > 0)
    graph.rewrites.push(`took the projections out of ${fused.length} attention nodes`);
  for (const node of graph.nodes) {
    const isPlain = node.opType === 'MultiHeadAttention' && node.domain === MICROSOFT;
    // (With a past input, the node's keys are fresh ones. The recognizer refuses other nodes with a
    // bias.)
    if (isPlain && node.input[PLAIN.bias] && node.input[PLAIN.past]) addBias(graph, node);
  }
}

function unfuse(graph: Graph, node: NodeProto): void {
  const at = (name: keyof typeof FUSED): string => node.input[FUSED[name]] ?? '';
  if (!at('past')) {
    throw unsupported(
      graph,
      node,
      'it has no past: it sees the tokens of one step alone, as the model builder since 0.15 writes it for -p fp32 -e cuda; with ' +
        '-p fp32 -e cpu it writes attention with a cache',
    );
  }
  const past = graph.inputs.get(at('past'));
  const [two, , heads, , headSize] = shapeOf(past) ?? [];
  const numHeads = intAttribute(node, 'num_heads', 0);
  if (!past || two !== 2 || heads !== numHeads || !headSize) {
    throw unsupported(
      graph,
      node,
      `its past ${at('past') || '(absent)'} is not an input of [2, batch, heads, past, head size]`,
    );
  }
  const width = numHeads * headSize;
  const [, columns] = graph.weight(at('weights'))?.dims.map(Number) ?? [];
  if (columns !== 3 * width) {
    throw unsupported(
      graph,
      node,
      `its weights ${at('weights')} are not [hidden, ${3 * width}], of query, key and value`,
    );
  }
  if (intAttribute(node, 'do_rotary', 0) === 1)
    throw unsupported(graph, node, 'it rotates (do_rotary)');
  if (at('pastLength')) throw unsupported(graph, node, 'its past and present share a buffer');
  const packed = `${node.name}/octavo.qkv`;
  const product = at('bias') ? `${packed}.product` : packed;
  const nodes = [makeNode('MatMul', product, [at('input'), at('weights')], [product])];
  if (at('bias')) nodes.push(makeNode('Add', packed, [product, at('bias')], [packed]));
  const parts = ['query', 'key', 'value'].map((part) => `${packed}.${part}`);
  nodes.push(...cut(graph, packed, parts, width, 2));
  const caches = ['key', 'value'].map((part) => addCache(graph, past, part));
  const [output] = node.output;
  const inputs = [...parts, '', at('mask'), at('attentionBias'), ...caches];
  const presents = ['key', 'value'].map((part) => `${packed}.present_${part}`);
  const plain = makeNode('MultiHeadAttention', node.name, inputs, [output, ...presents]);
  plain.domain = MICROSOFT;
  plain.attribute = node.attribute.filter(({ name }) => SHARED.has(name));
  graph.inputs.delete(past.name);
  graph.replaceNodes([node], [...nodes, plain]);
}

function addBias(graph: Graph, node: NodeProto): void {
  const bias = node.input[PLAIN.bias];
  const [size] = graph.weight(bias)?.dims.map(Number) ?? [];
  if (!size || size % 3 !== 0)
    throw unsupported(graph, node, `its bias ${bias} is not a weight of query, key and value`);
  const names = ['query', 'key', 'value'].map((part) => `${node.name}/octavo.biased_${part}`);
  const parts = names.map((name) => `${name}.bias`);
  const sums = names.map((name, index) =>
    makeNode('Add', name, [node.input[index], parts[index]], [name]),
  );
  node.input.splice(PLAIN.query, names.length + 1, ...names, '');
  graph.addNodes(...cut(graph, bias, parts, size / 3, 0), ...sums);
}

/**
 * Splits into parts of equal size, by Slice: before opset 13, Split takes its sizes as an
 * attribute.
 */
function cut(
  graph: Graph,
  from: string,
  parts: readonly string[],
  size: number,
  axis: number,
): NodeProto[] {
  const axes = addInt64s(graph, `${parts[0]}.axis`, [axis]);
  return parts.map((part, index) => {
    const start = addInt64s(graph, `${part}.start`, [index * size]);
    const end = addInt64s(graph, `${part}.end`, [(index + 1) * size]);
    return makeNode('Slice', part, [from, start, end, axes], [part]);
  });
}

/** Adds an input for one half of a packed past, without its first dimension. */
function addCache(graph: Graph, past: ValueInfoProto, part: string): string {
  const name = `${past.name}/octavo.${part}`;
  const half = clone(ValueInfoProtoSchema, past);
  half.name = name;
  const type = half.type?.value;
  if (type?.case === 'tensorType') type.value.shape?.dim.shift();
  graph.inputs.set(name, half);
  return name;
}

function unsupported(graph: Graph, node: NodeProto, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${node.opType}): ${what}. Supported: causal attention with num_heads, a bias and a past of ` +
      "its own; export the model with Optimum (--task text-generation-with-past) or ONNX Runtime GenAI's model builder",
  );
}
