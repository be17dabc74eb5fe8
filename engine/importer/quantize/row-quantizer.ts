import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { addInt64s, reduceMaxNode } from '../graph-queries.js';
import { STEP_INPUT } from '../imported-model.js';
import { importMicrosoft, MICROSOFT, makeNode } from '../onnx/nodes.js';
import {
  type NodeProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';

/**
 * Largest magnitude of a quantized activation. The zero point is 128, so the stored values are
 * unsigned.
 */
const LARGEST_ACTIVATION = 127;
const INVERSE = 'octavo.rows.inverse';
const LAST_AXIS = 'octavo.rows.last_axis';
const FLAT = 'octavo.rows.flat';
const COLUMN = 'octavo.rows.column';
/** Matmuls take one zero point for all rows, QuantizeLinear one for each row. */
const ZERO = 'octavo.rows.zero';
const ONE = 'octavo.rows.one';
const SAMPLED_ZERO_POINTS = `${STEP_INPUT.zeroPoints}.sampled`;

/** An activation as integers, and the scales to multiply them with. */
export interface QuantizedRows {
  /** uint8, in the activation's shape; zero point 128. */
  readonly values: string;
  /** float32 `[..., T, 1]`: one scale for each row. */
  readonly column: string;
}

/**
 * Creates nodes that quantize activations `[..., T, width]` with a scale for each row: an outlier
 * in another row changes nothing, and a row's result never depends on the other rows of the step. A
 * row of zeros has scale 0; its integers may then be anything.
 */
export class RowQuantizer {
  readonly #graph: Graph;
  /** Tensors that have rows for sampled tokens only. */
  readonly #sampled: ReadonlySet<string>;
  readonly #known = new Map<string, QuantizedRows>();
  /** Tensors that have rows for the tokens that chose an expert only. */
  readonly #chosen: ReadonlySet<string>;
  #zeroPointsAreSampled: boolean;

  /** Call after `keepSampledRows`: sampled rows have their own scales. */
  constructor(graph: Graph) {
    this.#graph = graph;
    this.#sampled = dependents(graph, [STEP_INPUT.sampleRows]);
    this.#chosen = chosenRows(graph);
    this.#zeroPointsAreSampled = graph.producer(SAMPLED_ZERO_POINTS) !== undefined;
    importMicrosoft(graph.model);
    // An input, because computing the zero points takes nodes, and at one token a step the tiny
    // nodes dominate the cost.
    graph.addInput(STEP_INPUT.zeroPoints, Type.UINT8);
    const zero = { name: ZERO, dims: [], dataType: Type.UINT8, rawData: Uint8Array.of(128) };
    graph.addInitializer(create(TensorProtoSchema, zero));
    for (const [name, value] of [
      [INVERSE, 1 / LARGEST_ACTIVATION],
      [ONE, 1],
    ] as const) {
      const number = { name, dims: [], dataType: Type.FLOAT, floatData: [value] };
      graph.addInitializer(create(TensorProtoSchema, number));
    }
    for (const name of [LAST_AXIS, FLAT]) addInt64s(graph, name, [-1]);
    addInt64s(graph, COLUMN, [-1, 1]);
  }

  /** Quantizes an activation once for all its readers. New nodes are added to `nodes`. */
  quantize(activation: string, type: Type, nodes: NodeProto[]): QuantizedRows {
    const at = (part: string): string => `${activation}/octavo.${part}`;
    const names = { values: at('int8'), column: at('scale') };
    const known = this.#known.get(activation);
    if (known ?? this.#graph.producer(names.values)) return known ?? names;
    let x = activation;
    if (type !== Type.FLOAT) {
      x = at('float');
      nodes.push(makeNode('Cast', x, [activation], [x], { to: Type.FLOAT }));
    }
    nodes.push(
      makeNode('Abs', at('abs'), [x], [at('abs')]),
      reduceMaxNode(this.#graph, at('max'), at('abs'), LAST_AXIS),
      makeNode(
        'Mul',
        names.column,
        [this.#column(activation, at('max'), nodes), INVERSE],
        [names.column],
      ),
      makeNode('Reshape', at('row_scales'), [names.column, FLAT], [at('row_scales')]),
      // The operator of this domain supports scales along an axis, whatever the version of the
      // standard operators.
      microsoft(
        makeNode(
          'QuantizeLinear',
          names.values,
          [x, at('row_scales'), this.#zeroPoints(activation, at('row_scales'), nodes)],
          [names.values],
          { axis: -2 },
        ),
      ),
    );
    this.#known.set(activation, names);
    return names;
  }

  /** A matmul of quantized rows, before their scales are applied: float32 `[..., T, outputs]`. */
  matmul(
    name: string,
    { values }: QuantizedRows,
    weight: { readonly values: string; readonly scales: string; readonly zeroPoints?: string },
    output: string,
  ): NodeProto {
    const inputs = [values, weight.values, ONE, weight.scales, ZERO];
    if (weight.zeroPoints) inputs.push(weight.zeroPoints);
    return microsoft(makeNode('MatMulIntegerToFloat', name, inputs, [output]));
  }

  /**
   * Maxima as a column. Of no rows, ONNX Runtime 1.30 gives none in the width of the activation,
   * and an expert that no token chose has none.
   */
  #column(activation: string, maxima: string, nodes: NodeProto[]): string {
    if (!this.#chosen.has(activation)) return maxima;
    const column = `${maxima}_column`;
    nodes.push(makeNode('Reshape', column, [maxima, COLUMN], [column]));
    return column;
  }

  /** One zero point for each row of the activation. @param scales one for each row, too */
  #zeroPoints(activation: string, scales: string, nodes: NodeProto[]): string {
    if (this.#chosen.has(activation)) {
      const [shape, points] = [`${scales}/shape`, `${scales}/zero_points`];
      nodes.push(
        makeNode('Shape', shape, [scales], [shape]),
        makeNode('Expand', points, [ZERO, shape], [points]),
      );
      return points;
    }
    if (!this.#sampled.has(activation)) return STEP_INPUT.zeroPoints;
    if (!this.#zeroPointsAreSampled) {
      const inputs = [STEP_INPUT.zeroPoints, STEP_INPUT.sampleRows];
      nodes.push(makeNode('Gather', SAMPLED_ZERO_POINTS, inputs, [SAMPLED_ZERO_POINTS]));
      this.#zeroPointsAreSampled = true;
    }
    return SAMPLED_ZERO_POINTS;
  }
}

/** All tensors that depend on one of the given. */
function dependents(
  graph: Graph,
  given: readonly string[],
  goesOn: (node: NodeProto) => boolean = () => true,
): Set<string> {
  const found = new Set(given);
  for (const node of graph.nodes) {
    if (!goesOn(node) || !node.input.some((name) => found.has(name))) continue;
    for (const output of node.output) if (output !== '') found.add(output);
  }
  return found;
}

/**
 * What is computed of rows that were chosen by their values. What scatters them has the rows of its
 * first input again.
 */
function chosenRows(graph: Graph): Set<string> {
  const places = graph.nodes.filter(({ opType }) => opType === 'NonZero');
  const given = places.flatMap(({ output }) => output);
  return dependents(graph, given, ({ opType }) => !opType.startsWith('Scatter'));
}

function microsoft(node: NodeProto): NodeProto {
  node.domain = MICROSOFT;
  return node;
}
