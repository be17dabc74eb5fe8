import type { Graph } from '../graph.js';
import { intAttribute, makeNode, setIntAttribute } from '../onnx/nodes.js';
import {
  type NodeProto,
  TensorProto_DataType as Type,
  type ValueInfoProto,
} from '../onnx/onnx_pb.js';

const HALVES = new Set<number>([Type.FLOAT16, Type.BFLOAT16]);

/**
 * Turns a float16 or bfloat16 graph into a float32 graph. ONNX Runtime's CPU provider computes most
 * float16 operators in float32 anyway, with a conversion around each, and has no kernels for
 * bfloat16; pages and sampling are float32. Weights stay as they are in their file, each followed
 * by a Cast, which is folded when the session opens.
 */
export function widenFloats(graph: Graph): void {
  const halves = graph.allInitializers().filter((t) => HALVES.has(t.dataType));
  const stated = [...graph.inputs.values(), ...graph.outputs.values()].filter(isHalf);
  const made = graph.nodes.filter((node) => makesHalf(node));
  if (halves.length + stated.length + made.length === 0) return;
  const names = new Set(halves.map(({ name }) => name));
  const casts: NodeProto[] = [];
  const widened = new Map<string, string>();
  for (const name of names) widened.set(name, addCast(casts, name, `${name}/octavo.float32`));
  for (const node of graph.nodes) {
    if (node.opType === 'Gather' && names.has(node.input[0] ?? '')) {
      // Rows of an embedding are widened after they are looked up: the table stays half as large.
      castOutput(node, casts);
    } else {
      node.input.forEach((name, index) => {
        node.input[index] = widened.get(name) ?? name;
      });
    }
    if (node.opType === 'Cast' && makesHalf(node)) setIntAttribute(node, 'to', Type.FLOAT);
    else if (makesHalf(node)) castOutput(node, casts);
  }
  for (const info of graph.statedTypes()) {
    if (isHalf(info) && info.type?.value.case === 'tensorType') {
      info.type.value.value.elemType = Type.FLOAT;
    }
  }
  const read = new Set(graph.nodes.flatMap((node) => node.input));
  const outputs = new Set(graph.outputs.keys());
  graph.addNodes(
    ...casts.filter(
      ({ input, output }) => !names.has(input[0]) || read.has(output[0]) || outputs.has(output[0]),
    ),
  );
  const types = new Set(halves.map(({ dataType }) => Type[dataType].toLowerCase()));
  graph.rewrites.push(`widened ${[...types].join(' and ') || 'half floats'} to float32`);
}

function isHalf(info: ValueInfoProto): boolean {
  const type = info.type?.value;
  return type?.case === 'tensorType' && HALVES.has(type.value.elemType);
}

/** Cast, Constant and ConstantOfShape state their output's type themselves. */
function makesHalf(node: NodeProto): boolean {
  if (node.opType === 'Cast') return HALVES.has(intAttribute(node, 'to', Type.FLOAT));
  if (node.opType !== 'Constant' && node.opType !== 'ConstantOfShape') return false;
  return node.attribute.some(({ t }) => t !== undefined && HALVES.has(t.dataType));
}

/** Inserts a Cast after a node: its readers then read the Cast's output. */
function castOutput(node: NodeProto, casts: NodeProto[]): void {
  const [output] = node.output;
  const half = `${output}/octavo.half`;
  node.output[0] = half;
  addCast(casts, half, output);
}

function addCast(casts: NodeProto[], from: string, to: string): string {
  casts.push(makeNode('Cast', to, [from], [to], { to: Type.FLOAT }));
  return to;
}
