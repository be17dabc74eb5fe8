import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { exactWeightBits } from '../quantize/exact-weight-bits.js';

/** Operators that multiply 8-bit numbers, with the position of their weight among the inputs. */
const WEIGHT_AT: Readonly<Record<string, number>> = {
  MatMulInteger: 1,
  MatMulIntegerToFloat: 1,
  DynamicQuantizeMatMul: 1,
  QLinearMatMul: 3,
  QGemm: 3,
};

/**
 * Finds int8 matmuls of the export itself that this CPU would compute wrongly: exporters use all 8
 * bits, and CPUs that add two neighboring products in 16 bits saturate. (uint8 weights are widened
 * first, on any CPU.)
 *
 * The remedy costs time, so it is applied and reported only where needed: ONNX Runtime stores these
 * weights as uint8 (EXACT_SUMS).
 *
 * @returns whether sessions need EXACT_SUMS
 */
export async function noteSaturatingMatmuls(
  graph: Graph,
  weightBits = exactWeightBits,
): Promise<boolean> {
  const matmuls = graph.nodes.filter(({ opType }) => WEIGHT_AT[opType] !== undefined);
  if (matmuls.length === 0) return false;
  const types = elementTypes(graph);
  const count = matmuls.filter(({ opType, input }) => {
    const weight = input[WEIGHT_AT[opType]];
    return types.get(weight) === Type.INT8 && graph.isConstant(weight);
  }).length;
  return noteSaturating(graph, count, weightBits);
}

/** The same for so many matmuls with int8 weights of the model itself. */
export async function noteSaturating(
  graph: Graph,
  count: number,
  weightBits = exactWeightBits,
): Promise<boolean> {
  if (count === 0 || (await weightBits()) === 8) return false;
  graph.rewrites.push(
    `${count} matmuls have int8 weights, whose sums could saturate on this CPU: multiplied as uint8, which is exact but slower`,
  );
  return true;
}
