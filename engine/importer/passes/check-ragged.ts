import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { type CutSite, LOGITS, STEP_INPUT } from '../imported-model.js';
import { MICROSOFT, shapeOf } from '../onnx/nodes.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { siteInputs } from '../recognizers/recognizer.js';

/**
 * A step is one row of T tokens, `[1, T]`. Apart from attention, any graph with an open sequence
 * axis computes such a row correctly, so no node needs to change. But both axes must be open, and
 * the types must be those of the step.
 *
 * @throws OctavoError `model_unsupported`: names the input and what it should be
 */
export function checkStepInputs(graph: Graph): void {
  for (const name of [STEP_INPUT.inputIds, STEP_INPUT.positionIds]) {
    const info = graph.inputs.get(name);
    if (info?.type?.value.case !== 'tensorType') continue;
    const { elemType } = info.type.value.value;
    const expected = 'INT64 or INT32 [batch, sequence] with both sizes open (dynamic axes)';
    if (elemType !== Type.INT64) {
      throw unsupported(graph, `the input ${name} is ${nameOf(elemType)}; expected ${expected}`);
    }
    const shape = shapeOf(info);
    if (!shape) continue;
    const [batch, length] = shape;
    if (shape.length !== 2 || (batch !== null && batch !== 1) || length !== null) {
      const sizes = shape.map((size) => size ?? '?').join(', ');
      const what = `the input ${name} has the shape [${sizes}]`;
      if (length === 1) {
        const hint =
          'one token at a time, and a step has many; export the model with an open sequence axis (transformers: ' +
          'export_for_generation(..., multi_token_decode=True))';
        throw unsupported(graph, `${what}, ${hint}`);
      }
      throw unsupported(graph, `${what}; expected ${expected}`);
    }
  }
}

/**
 * Checks that the tensors at the borders of segments are float32, as pages, attention and the
 * sampler are.
 *
 * @throws OctavoError `model_unsupported`: names the tensor that has another type
 */
export function checkFloats(
  graph: Graph,
  sites: readonly CutSite[],
  types: ReadonlyMap<string, Type>,
): void {
  const refuse = (what: string, name: string): void => {
    const type = types.get(name) ?? Type.FLOAT;
    if (type === Type.FLOAT) return;
    throw unsupported(
      graph,
      `${what} is ${nameOf(type)}; export the model with float32 activations`,
    );
  };
  for (const site of sites) {
    for (const name of siteInputs(site)) {
      refuse(`node ${site.node} (${site.form}): its input ${name}`, name);
    }
  }
  refuse(`the output ${LOGITS}`, LOGITS);
}

/**
 * A softmax over products of two activations is attention. Attention that was not cut out would mix
 * the sequences of a step.
 *
 * @param nodes what is left of the graph
 * @throws OctavoError `model_unsupported`: which node
 */
export function checkNoAttentionLeft(graph: Graph, nodes: readonly NodeProto[]): void {
  for (const softmax of nodes.filter(({ opType }) => opType === 'Softmax')) {
    const open = new Set([softmax.input[0]]);
    for (const name of open) {
      const node = graph.producer(name);
      if (!node || SHAPES.has(node.opType)) continue;
      const operands = node.input.slice(0, 2);
      if (node.opType === 'MatMul' && operands.every((operand) => !graph.isConstant(operand))) {
        throw unsupported(
          graph,
          `node ${softmax.name} (Softmax) is attention without a KV cache, after ${node.name} (MatMul); expected ` +
            'past_key_values in every layer: export the model with --task text-generation-with-past',
        );
      }
      // A matmul with a weight belongs to a router, or begins another layer.
      if (node.opType.includes('MatMul') || node.opType === 'Gemm') continue;
      // A set grows while it is iterated.
      for (const input of node.input) open.add(input);
    }
  }
}

/** Operators that pass on sizes, not values. */
const SHAPES = new Set(['Shape', 'Size']);

/**
 * The longest row, in tokens, that the rotary nodes among `nodes` accept; null when there are none.
 * Measured with ONNX Runtime 1.30: all three operators refuse a row longer than their tables,
 * whatever the positions in it.
 */
export function maxStepTokens(graph: Graph, nodes: readonly NodeProto[]): number | null {
  const rows = nodes
    .filter(({ opType }) => opType === 'RotaryEmbedding' || opType === 'MRotaryEmbedding')
    .map((node) => graph.weight(node.input[node.domain === MICROSOFT ? 2 : 1]))
    .flatMap((table) => (table ? Number(table.dims[0]) : []));
  return rows.length > 0 ? Math.min(...rows) : null;
}

function nameOf(type: number): string {
  return Type[type] ?? `of type ${type}`;
}

function unsupported(graph: Graph, what: string): OctavoError {
  return new OctavoError('model_unsupported', `${graph.file}: ${what}`);
}
