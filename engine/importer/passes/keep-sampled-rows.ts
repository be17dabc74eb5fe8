import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { PACKED_MATMULS } from '../graph-queries.js';
import { LOGITS, STEP_INPUT } from '../imported-model.js';
import { matrixSizes } from '../matrix-sizes.js';
import { intAttribute, makeNode, shapeOf } from '../onnx/nodes.js';
import { type NodeProto, TensorProto_DataType } from '../onnx/onnx_pb.js';
import { inputOfRowSelection } from './skip-row-selection.js';

/**
 * Matmuls of `[1, T, hidden]` with a weight. (Gemm takes no such input: its rows are the first
 * axis.)
 */
const PROJECTIONS = new Set(['MatMul', 'MatMulInteger', ...PACKED_MATMULS]);
/** Operators that may follow the LM head: they work on each element alone. */
const ELEMENTWISE = new Set(['Cast', 'Mul', 'Div', 'Add', 'Tanh', 'Identity']);

export interface HeadSizes {
  readonly vocabSize: number;
  /** Width of the LM head's input; null when its weight does not state it. */
  readonly hiddenSize: number | null;
}

/**
 * Computes logits for sampled rows only: a Gather before the LM head turns its input
 * `[1, T, hidden]` into `[1, S, hidden]`. For a prompt of 512 tokens that is one row instead of
 * 512, and the head is the largest weight of most models.
 *
 * @throws OctavoError `model_unsupported` when the LM head is not found
 */
export function keepSampledRows(graph: Graph): HeadSizes {
  const head = findHead(graph);
  const reader = readerOf(graph, head);
  const selected = reader.input[0];
  const input = inputOfRowSelection(graph, selected);
  if (input !== selected)
    graph.rewrites.push('left out the choice of last tokens before the LM head');
  const kept = `${input}/octavo.sampled`;
  reader.input[0] = kept;
  graph.addInput(STEP_INPUT.sampleRows, TensorProto_DataType.INT64);
  graph.addNodes(makeNode('Gather', kept, [input, STEP_INPUT.sampleRows], [kept], { axis: 1 }));
  graph.rewrites.push(`kept only sampled rows before the LM head ${head.name}`);
  return { vocabSize: vocabSize(graph, head), hiddenSize: hiddenSize(graph, head) };
}

function findHead(graph: Graph): NodeProto {
  let tensor: string = LOGITS;
  for (;;) {
    const node = graph.producer(tensor);
    if (node && PROJECTIONS.has(node.opType)) {
      if (graph.isConstant(node.input[1])) return node;
    } else if (node && ELEMENTWISE.has(node.opType)) {
      const dynamic = node.input.filter((name) => !graph.isConstant(name));
      // A quantized matmul is multiplied by the scale of its activation, which is computed at run
      // time, too.
      const matmul = dynamic.length === 1 ? dynamic : dynamic.filter((n) => isInteger(graph, n));
      if (matmul.length === 1) {
        tensor = matmul[0];
        continue;
      }
    }
    throw new OctavoError(
      'model_unsupported',
      `${graph.file}: ${node ? `node ${node.name} (${node.opType})` : 'nothing'} makes the output "${LOGITS}"; expected ` +
        'a matmul with a constant weight (the LM head). Export the model with its language-modeling head',
    );
  }
}

/** The output of an integer matmul, before it is scaled. */
function isInteger(graph: Graph, tensor: string): boolean {
  const node = graph.producer(tensor);
  const matmul = node?.opType === 'Cast' ? graph.producer(node.input[0]) : node;
  return matmul?.opType === 'MatMulInteger';
}

/**
 * The node that reads the LM head's activation: the head itself, or what quantizes the activation.
 */
function readerOf(graph: Graph, head: NodeProto): NodeProto {
  const maker = graph.producer(head.input[0]);
  return head.opType === 'MatMulInteger' && maker?.opType === 'DynamicQuantizeLinear'
    ? maker
    : head;
}

function hiddenSize(graph: Graph, head: NodeProto): number | null {
  if (PACKED_MATMULS.has(head.opType)) return intAttribute(head, 'K', 0) || null;
  return matrixSizes(graph, head.input[1])?.[0] ?? null;
}

/**
 * Number of columns of the head's weight. The declared shape of the output may be wrong; it is used
 * only when the weight does not state the number.
 */
function vocabSize(graph: Graph, head: NodeProto): number {
  const columns = PACKED_MATMULS.has(head.opType)
    ? intAttribute(head, 'N', 0)
    : matrixSizes(graph, head.input[1])?.[1];
  const size = columns || (shapeOf(graph.outputs.get(LOGITS))?.at(-1) ?? 0);
  if (size > 0) return size;
  throw new OctavoError(
    'model_unsupported',
    `${graph.file}: neither node ${head.name} nor the output "${LOGITS}" states the vocabulary's size`,
  );
}
