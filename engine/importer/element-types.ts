import { type Graph, intAttribute } from './graph.js';
import { TensorProto_DataType as Type } from './onnx/onnx_pb.js';

const BOOLEAN = new Set([
  'Equal',
  'Greater',
  'GreaterOrEqual',
  'Less',
  'LessOrEqual',
  'Not',
  'And',
  'Or',
  'IsNaN',
]);
const INT64 = new Set(['Shape', 'Size', 'NonZero', 'ArgMax']);

/**
 * Element types of all tensors, which the inputs of a segment must state. Most operators keep the type of their first
 * input; the ones that do not, and that stand in decoders, are listed.
 */
export function elementTypes(graph: Graph): Map<string, Type> {
  const types = new Map<string, Type>();
  for (const [name, tensor] of graph.initializers) types.set(name, tensor.dataType);
  for (const [name, info] of graph.inputs) {
    if (info.type?.value.case === 'tensorType') types.set(name, info.type.value.value.elemType);
  }
  for (const node of graph.nodes) {
    const type = outputType(node, types);
    if (type !== undefined) for (const output of node.output) types.set(output, type);
  }
  return types;
}

function outputType(
  node: Graph['nodes'][number],
  types: ReadonlyMap<string, Type>,
): Type | undefined {
  if (node.opType === 'Cast') return intAttribute(node, 'to', Type.FLOAT);
  if (BOOLEAN.has(node.opType)) return Type.BOOL;
  if (INT64.has(node.opType)) return Type.INT64;
  if (node.opType === 'Constant' || node.opType === 'ConstantOfShape') {
    const value = node.attribute.find(({ name }) => name === 'value')?.t;
    return value?.dataType ?? (node.opType === 'Constant' ? Type.INT64 : Type.FLOAT);
  }
  const source = node.opType === 'Where' ? node.input[1] : node.input[0];
  return types.get(source ?? '') ?? types.get(node.input.find((name) => types.has(name)) ?? '');
}
