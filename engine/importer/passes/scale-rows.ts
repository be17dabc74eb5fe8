import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import { MICROSOFT, makeNode } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { RowQuantizer } from '../quantize/row-quantizer.js';

/**
 * 8-bit exports quantize an activation with one scale for the whole tensor. In a row of many
 * sequences, all of them would share it: a sequence with large activations would take precision
 * from the others and change their texts. Each row gets its own scale instead, as in W8A8:
 *
 *     DynamicQuantizeLinear(x) -> MatMulInteger -> Cast -> Mul(scale of x * scale of W)
 *     Abs, ReduceMax, Mul, QuantizeLinear -> MatMulIntegerToFloat -> Mul(scales of x)
 *
 * The fused DynamicQuantizeMatMul is rewritten likewise. Other readers of the integers stay as they
 * are; the row check (`engine/runner/row-check`) finds them.
 */
export function scaleRows(graph: Graph): void {
  const readers = readersOf(graph);
  const matmuls = graph.nodes.flatMap((node) => asMatmul(graph, readers, node) ?? []);
  if (matmuls.length === 0) return;
  const quantizer = new RowQuantizer(graph);
  const made: NodeProto[] = [];
  for (const { activation, name, weight, bias, output } of matmuls) {
    const rows = quantizer.quantize(activation, Type.FLOAT, made);
    const [unscaled, scaled] = [`${output}/octavo.unscaled`, `${output}/octavo.scaled`];
    made.push(quantizer.matmul(name, rows, weight, unscaled));
    made.push(
      makeNode('Mul', `${name}/scaled`, [unscaled, rows.column], [bias === '' ? output : scaled]),
    );
    if (bias !== '') made.push(makeNode('Add', `${name}/biased`, [scaled, bias], [output]));
  }
  graph.replaceNodes(
    matmuls.flatMap(({ nodes }) => nodes),
    made,
  );
  graph.rewrites.push(
    `gave each token a scale of its own in ${matmuls.length} matmuls of 8 bits, instead of one for a whole step`,
  );
}

interface IntegerMatmul {
  readonly nodes: readonly NodeProto[];
  readonly name: string;
  readonly activation: string;
  readonly weight: {
    readonly values: string;
    readonly scales: string;
    readonly zeroPoints?: string;
  };
  /** Tensor that is added to the result; '' for none. */
  readonly bias: string;
  readonly output: string;
}

type Readers = ReadonlyMap<string, readonly NodeProto[]>;

function asMatmul(graph: Graph, readers: Readers, node: NodeProto): IntegerMatmul | undefined {
  if (node.domain === MICROSOFT && node.opType === 'DynamicQuantizeMatMul') {
    const [activation, values, scales, zeroPoints = '', bias = ''] = node.input;
    const weight = { values, scales, zeroPoints };
    return { nodes: [node], name: node.name, activation, weight, bias, output: node.output[0] };
  }
  if (node.opType !== 'MatMulInteger') return undefined;
  const quantized = graph.producer(node.input[0]);
  const only = (tensor: string): NodeProto | undefined => {
    const found = readers.get(tensor) ?? [];
    return found.length === 1 && !graph.outputs.has(tensor) ? found[0] : undefined;
  };
  const cast = only(node.output[0]);
  const scaled = cast?.opType === 'Cast' ? only(cast.output[0]) : undefined;
  if (quantized?.opType !== 'DynamicQuantizeLinear' || scaled?.opType !== 'Mul') return undefined;
  const [, scale, zeroPoint] = quantized.output;
  if (!cast || node.input[2] !== zeroPoint || !graph.isConstant(node.input[1])) return undefined;
  // The product of both scales, in either order.
  const scales = scaled.input.map((name) => graph.producer(name)).find((n) => n !== cast);
  const weightScale = scales?.input.find((name) => name !== scale);
  const isProductOfScales =
    scales?.opType === 'Mul' && scales.input.includes(scale) && weightScale !== undefined;
  if (!isProductOfScales || !graph.isConstant(weightScale)) return undefined;
  return {
    nodes: [node, cast, scaled],
    name: node.name,
    activation: quantized.input[0],
    weight: { values: node.input[1], scales: weightScale, zeroPoints: node.input[3] ?? '' },
    bias: '',
    output: scaled.output[0],
  };
}
