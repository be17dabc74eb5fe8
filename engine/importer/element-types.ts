import type { Graph } from './graph.js';
import { intAttribute } from './onnx/nodes.js';
import {
  type NodeProto,
  TensorProto_DataType as Type,
  type ValueInfoProto,
} from './onnx/onnx_pb.js';

/** Where an output's type comes from: a fixed type, or the position of the input that has it. */
type Source = Type | { readonly input: number };

const input = (position: number): Source => ({ input: position });

/**
 * Operators found in decoders whose outputs do not have the type of their first input; one entry
 * for each output.
 */
const SOURCES: Readonly<Record<string, readonly Source[]>> = {
  Equal: [Type.BOOL],
  Greater: [Type.BOOL],
  GreaterOrEqual: [Type.BOOL],
  Less: [Type.BOOL],
  LessOrEqual: [Type.BOOL],
  Not: [Type.BOOL],
  And: [Type.BOOL],
  Or: [Type.BOOL],
  IsNaN: [Type.BOOL],
  Shape: [Type.INT64],
  Size: [Type.INT64],
  NonZero: [Type.INT64],
  ArgMax: [Type.INT64],
  TopK: [input(0), Type.INT64],
  Where: [input(1)],
  OneHot: [input(2)],
  CastLike: [input(1)],
  DequantizeLinear: [input(1)],
  QuantizeLinear: [input(2)],
  DynamicQuantizeLinear: [Type.UINT8, input(0), Type.UINT8],
  MatMulInteger: [Type.INT32],
  MatMulIntegerToFloat: [input(2)],
  GatherBlockQuantized: [input(2)],
  EmbedLayerNormalization: [input(2), Type.INT32, input(2)],
};

/**
 * Element types of all tensors; a segment must state those of its inputs. Types that the model
 * states take precedence; otherwise most operators keep the type of their first input.
 */
export function elementTypes(graph: Graph): Map<string, Type> {
  const types = new Map<string, Type>();
  for (const tensor of graph.allInitializers()) types.set(tensor.name, tensor.dataType);
  for (const [name, info] of graph.inputs) setStated(types, name, info);
  for (const node of graph.nodes) {
    for (const [index, output] of node.output.entries()) {
      const type = outputType(node, index, types);
      if (type !== undefined && output !== '') types.set(output, type);
    }
    for (const output of node.output) setStated(types, output, graph.stated(output));
  }
  return types;
}

function setStated(types: Map<string, Type>, name: string, info: ValueInfoProto | undefined): void {
  const value = info?.type?.value;
  if (value?.case === 'tensorType' && value.value.elemType !== Type.UNDEFINED) {
    types.set(name, value.value.elemType);
  }
}

function outputType(
  node: NodeProto,
  index: number,
  types: ReadonlyMap<string, Type>,
): Type | undefined {
  if (node.opType === 'Cast') return intAttribute(node, 'to', Type.FLOAT);
  if (node.opType === 'Constant' || node.opType === 'ConstantOfShape') return constantType(node);
  if (node.opType === 'QuantizeLinear' && !node.input[2]) {
    return intAttribute(node, 'output_dtype', Type.UINT8);
  }
  const source = SOURCES[node.opType]?.[index] ?? input(0);
  if (typeof source !== 'object') return source;
  const known = types.get(node.input[source.input] ?? '');
  return known ?? types.get(node.input.find((name) => types.has(name)) ?? '');
}

/**
 * A Constant has its value in one of several attributes; a ConstantOfShape without a value is
 * float32.
 */
function constantType(node: NodeProto): Type {
  const value = node.attribute.find(({ name }) => name.startsWith('value'));
  if (value?.t) return value.t.dataType;
  if (value?.name.startsWith('value_int')) return Type.INT64;
  return value?.name.startsWith('value_string') ? Type.STRING : Type.FLOAT;
}
