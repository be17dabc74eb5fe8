import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { STEP_INPUT as IN, LOGITS, STEP_OUTPUT as OUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';

/** Numbers that ONNX Runtime's TopK for WebGPU sorts in a workgroup's own memory. */
const SORTED_AT_ONCE = 2048;

/**
 * The K largest logits of each row, and their ids, for devices. There, TopK sorts all numbers of a
 * row: for 151,936 that takes 171 passes over memory. So the row is cut into blocks, of which those
 * with the K largest maxima hold its K largest logits:
 *
 *     logits [1, S, V] --> blocks [S * G, B] --> ReduceMax --> TopK, sorted by id --> block ids
 *                             `--> Gather(block ids) --> [1, S, K * B] --> TopK --> ids by block
 *
 * Equal logits: the lower id comes first, as with a single TopK. Of blocks with equal maxima the
 * earlier are taken, and the blocks that are taken stay in their order.
 *
 * @param ids name of the int64 ids, `[1, S, K]`
 * @returns null when rows are short enough for a single TopK
 */
export function topInBlocks(graph: Graph, vocabSize: number, ids: string): NodeProto[] | null {
  if (vocabSize <= SORTED_AT_ONCE) return null;
  let size = 2;
  while (Math.ceil(vocabSize / size) > SORTED_AT_ONCE) size *= 2;
  const count = Math.ceil(vocabSize / size);
  const ints = (name: string, values: readonly number[], dims?: readonly number[]): string =>
    addInt64s(graph, `octavo.top.${name}`, values, dims);
  const nodes: NodeProto[] = [];
  const op = (
    type: string,
    name: string,
    input: readonly string[],
    attributes: Readonly<Record<string, number>> = {},
  ): string => {
    const output = `octavo.top.${name}`;
    nodes.push(makeNode(type, output, input, [output], attributes));
    return output;
  };
  const one = ints('one', [1], []);
  const sizeOf = ints('block_size', [size], []);
  const countOf = ints('block_count', [count], []);

  const missing = count * size - vocabSize;
  const whole =
    missing === 0
      ? LOGITS
      : op('Pad', 'padded', [LOGITS, ints('pads', [0, 0, 0, 0, 0, missing]), lowest(graph)]);
  const blocks = op('Reshape', 'blocks', [whole, ints('flat', [-1, size])]);
  const largest = lastMaxima(graph, nodes, blocks);
  const maxima = op('Reshape', 'maxima', [largest, ints('rows', [1, -1, count])]);
  const taken = op('Min', 'taken', [IN.topK, countOf]);
  const [best, blockIds] = ['octavo.top.best', 'octavo.top.block_ids'];
  nodes.push(
    makeNode('TopK', best, [maxima, taken], [`${best}.maxima`, best], { axis: 2 }),
    makeNode('TopK', blockIds, [best, taken], [blockIds, `${blockIds}.places`], {
      axis: 2,
      largest: 0,
    }),
  );

  // 0, 1, ... for the rows, in the shape [1, S, 1] that target ids have.
  const zeros = op('Sub', 'zeros', [IN.targetIds, IN.targetIds]);
  const ones = op('Add', 'ones', [zeros, one]);
  const rows = op('CumSum', 'row', [ones, ints('axis', [1], [])], { exclusive: 1 });
  const first = op('Mul', 'first_block', [rows, countOf]);
  const candidates = op('Gather', 'gathered', [blocks, op('Add', 'place', [first, blockIds])]);
  const flat = op('Reshape', 'candidates', [candidates, ints('keep', [0, 0, -1])]);
  const places = 'octavo.top.places';
  nodes.push(
    makeNode('TopK', 'octavo/TopK', [flat, IN.topK], [OUT.topLogits, places], { axis: 2 }),
  );

  const nth = op('Div', 'nth_block', [places, sizeOf]);
  const before = op('Mul', 'before_block', [nth, sizeOf]);
  const inside = op('Sub', 'inside', [places, before]);
  const block = op('GatherElements', 'block', [blockIds, nth], { axis: 2 });
  const start = op('Mul', 'start', [block, sizeOf]);
  nodes.push(makeNode('Add', ids, [start, inside], [ids]));
  return nodes;
}

/** Maxima of the rows `[rows, size]`. Before operator set 18, the axes are an attribute. */
function lastMaxima(graph: Graph, nodes: NodeProto[], from: string): string {
  const to = 'octavo.top.largest';
  const standard = graph.model.opsetImport.find(
    ({ domain }) => domain === '' || domain === 'ai.onnx',
  );
  const isInput = Number(standard?.version ?? 0) >= 18;
  const input = isInput ? [from, addInt64s(graph, 'octavo.top.last', [1])] : [from];
  const node = makeNode('ReduceMax', to, input, [to], { keepdims: 0 });
  if (!isInput) {
    const type = AttributeProto_AttributeType.INTS;
    node.attribute.push(create(AttributeProtoSchema, { name: 'axes', type, ints: [1n] }));
  }
  nodes.push(node);
  return to;
}

/** A number below all logits: the lowest float32. (The kernels' language knows no infinity.) */
function lowest(graph: Graph): string {
  const name = 'octavo.top.lowest';
  const floatData = [-3.4028234663852886e38];
  graph.addInitializer(
    create(TensorProtoSchema, { name, dims: [], dataType: Type.FLOAT, floatData }),
  );
  return name;
}
