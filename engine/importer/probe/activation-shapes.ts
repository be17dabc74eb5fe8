import type { Graph } from '../graph.js';
import { PACKED_MATMULS } from '../graph-queries.js';
import { STEP_INPUT } from '../imported-model.js';
import { intAttribute, shapeOf } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** Placeholders in a shape for the number of tokens of the step, and of those before it. */
export const STEP_LENGTH = -1;
export const STEP_PAST = -2;

/** Operators that keep the shape of their activation. */
const KEEPING = new Set([
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Cast',
  'Identity',
  'Sqrt',
  'Tanh',
  'Sigmoid',
  'Gelu',
  'LayerNormalization',
  'SimplifiedLayerNormalization',
  'SkipLayerNormalization',
  'SkipSimplifiedLayerNormalization',
  'RMSNormalization',
]);

/**
 * Shapes of activations, `[1, STEP_LENGTH, width]`, along the residual stream. Exports ask for them
 * in every layer, and a probe must not run all earlier layers for the answer. Undefined for any
 * other shape.
 */
export class ActivationShapes {
  readonly #graph: Graph;
  readonly #known = new Map<string, readonly number[] | undefined>();

  constructor(graph: Graph) {
    this.#graph = graph;
    for (const [name, info] of graph.inputs) {
      const dims = shapeOf(info);
      if (dims?.length === 4 && dims[1] && dims[3]) {
        this.#known.set(name, [1, dims[1], STEP_PAST, dims[3]]);
      }
    }
    // In topological order, so that no recursion is needed.
    for (const node of graph.nodes) {
      const shape = this.#shape(node);
      for (const output of node.output) if (output !== '') this.#known.set(output, shape);
    }
  }

  of(tensor: string): readonly number[] | undefined {
    return this.#known.get(tensor);
  }

  /**
   * The result of a Shape node whose input is such an activation, or a cache that is an input of
   * the graph.
   */
  answer(node: NodeProto): readonly number[] | undefined {
    if (node.opType !== 'Shape') return undefined;
    const shape = this.of(node.input[0]);
    return shape?.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', shape.length));
  }

  #shape(node: NodeProto): readonly number[] | undefined {
    const graph = this.#graph;
    const [first, second] = node.input;
    if (node.opType === 'Gather' && first !== undefined && graph.weight(first)) {
      const table = graph.weight(first);
      const isTokens = second === STEP_INPUT.inputIds || second === STEP_INPUT.positionIds;
      return isTokens && table?.dims.length === 2
        ? [1, STEP_LENGTH, Number(table.dims[1])]
        : undefined;
    }
    if (node.opType === 'MatMul' || PACKED_MATMULS.has(node.opType)) {
      const rows = this.#known.get(first);
      const weight = graph.weight(second)?.dims;
      const width = node.opType === 'MatMul' ? weight?.at(-1) : intAttribute(node, 'N', 0);
      return rows && width && weight ? [...rows.slice(0, -1), Number(width)] : undefined;
    }
    if (!KEEPING.has(node.opType)) return undefined;
    if (node.input.some((name) => this.#known.get(name)?.includes(STEP_PAST))) return undefined;
    // One operand of a sum is the stream itself; the other may come from an attention.
    return node.input.map((name) => this.#known.get(name)).find((shape) => shape !== undefined);
  }
}
