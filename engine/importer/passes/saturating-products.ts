import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { exactWeightBits } from '../quantize/exact-weight-bits.js';

/** Operators that multiply numbers of 8 bits, and which of their inputs is the weight. */
const WEIGHT_AT: Readonly<Record<string, number>> = {
  MatMulInteger: 1,
  MatMulIntegerToFloat: 1,
  DynamicQuantizeMatMul: 1,
  QLinearMatMul: 3,
  QGemm: 3,
};

/**
 * Finds products of int8 weights that an export brings along and this CPU would get wrong:
 * exporters use all 8 bits, and where two neighboring products are added in 16 bits, such sums
 * saturate. (Weights of uint8 are widened before, on any CPU.)
 *
 * Said, because the cure costs time: ONNX Runtime has to be told to store these weights as uint8,
 * see EXACT_SUMS.
 *
 * @returns whether it has to be told
 */
export async function noteSaturatingProducts(
  graph: Graph,
  weightBits = exactWeightBits,
): Promise<boolean> {
  const products = graph.nodes.filter(({ opType }) => WEIGHT_AT[opType] !== undefined);
  if (products.length === 0) return false;
  const types = elementTypes(graph);
  const count = products.filter(({ opType, input }) => {
    const weight = input[WEIGHT_AT[opType]];
    return types.get(weight) === Type.INT8 && graph.isConstant(weight);
  }).length;
  if (count === 0 || (await weightBits()) === 8) return false;
  graph.rewrites.push(
    `${count} products have int8 weights, whose sums could saturate on this CPU: multiplied as uint8, which is exact but slower`,
  );
  return true;
}
