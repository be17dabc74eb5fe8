import type { Graph } from '../graph.js';
import { makeNode } from '../onnx/nodes.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';

/** How a GPU computes matmuls whose weights are floats: as the model has them, or in float16. */
export const DEVICE_FLOATS = ['as-is', 'float16'] as const;

export type DeviceFloats = (typeof DEVICE_FLOATS)[number];

const MATMULS = new Set(['MatMul', 'FusedMatMul', 'Gemm']);
const FLOATS = new Set<number>([Type.FLOAT, Type.FLOAT16, Type.BFLOAT16]);

/**
 * Computes matmuls with constant weights in float16, for devices, where such weights take half of
 * the memory and of the reading. What stands between them (norms, rotation, residual sums) stays
 * float32. Casts of weights are folded when a session opens, so that none is held twice.
 *
 * @returns the number of matmuls
 */
export function halveMatmuls(graph: Graph): number {
  const matmuls = graph.nodes.filter((node) => isHalvable(graph, node));
  const halves = new Map<string, string>();
  const casts: NodeProto[] = [];
  const half = (name: string): string => {
    const known = halves.get(name);
    if (known !== undefined) return known;
    // A weight of float16 behind a Cast to float32 is taken as it is stored.
    const weight = graph.weight(name);
    const isHalf = weight?.dataType === Type.FLOAT16;
    const made = isHalf ? weight.name : `${name}/octavo.float16`;
    if (!isHalf) casts.push(makeNode('Cast', made, [name], [made], { to: Type.FLOAT16 }));
    halves.set(name, made);
    return made;
  };
  for (const node of matmuls) {
    node.input = node.input.map((name) => (name === '' ? '' : half(name)));
    const [output] = node.output;
    node.output[0] = `${output}/octavo.float16`;
    casts.push(makeNode('Cast', output, [node.output[0]], [output], { to: Type.FLOAT }));
  }
  graph.addNodes(...casts);
  return matmuls.length;
}

function isHalvable(graph: Graph, { opType, input }: NodeProto): boolean {
  if (!MATMULS.has(opType)) return false;
  const weight = graph.weight(input[1]);
  return weight?.dims.length === 2 && FLOATS.has(weight.dataType);
}
