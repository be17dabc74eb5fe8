import type { Graph } from '../graph.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { isRepeated, repeatedTensors, type SegmentCut, withRepeated } from './cut.js';

/** Formats of numbers that are not handed on from one session to another. */
const HALVES = new Set<Type>([Type.FLOAT16, Type.BFLOAT16]);

/**
 * Divides a segment into parts that run one after the other and read weights of at most `most`
 * bytes as float32; one node may read more.
 *
 * @param types of tensors: those of 16 bits are read in the part that makes them
 * @param wanted tensors that are outputs of the part that makes them, besides those of the segment
 */
export function splitCut(
  graph: Graph,
  cut: SegmentCut,
  types: ReadonlyMap<string, Type>,
  wanted: ReadonlySet<string>,
  most: number,
): SegmentCut[] {
  const repeated = repeatedTensors(graph);
  const own = cut.nodes.filter((node) => !isRepeated(node, repeated));
  const isHalf = (name: string): boolean => HALVES.has(types.get(name) ?? Type.FLOAT);
  const groups: NodeProto[][] = [[]];
  const open = new Map<string, number>();
  let size = 0;
  for (const [index, node] of own.entries()) {
    const bytes = weightBytes(graph, withRepeated(graph, [node], repeated));
    const isOpen = [...open.values()].some((last) => last >= index);
    if (bytes > 0 && size > 0 && size + bytes > most && !isOpen) {
      groups.push([]);
      size = 0;
    }
    groups.at(-1)?.push(node);
    size += bytes;
    for (const name of node.output.filter(isHalf)) {
      open.set(
        name,
        own.findLastIndex(({ input }) => input.includes(name)),
      );
    }
  }
  const parts = groups.map((nodes) => withRepeated(graph, nodes, repeated));
  const reads = parts.map((nodes) => readBy(graph, nodes));
  return parts.map((nodes, index) => {
    const later = reads.slice(index + 1);
    const made = nodes.filter((node) => !isRepeated(node, repeated)).flatMap((n) => n.output);
    const isRead = (name: string): boolean =>
      later.some((names) => names.has(name)) || wanted.has(name) || cut.outputs.includes(name);
    return { nodes, inputs: [...reads[index]], outputs: made.filter(isRead) };
  });
}

function weightBytes(graph: Graph, nodes: readonly NodeProto[]): number {
  const names = new Set(nodes.flatMap(({ input }) => input));
  return [...names].reduce((sum, name) => {
    const dims = graph.initializer(name)?.dims ?? [0n];
    return sum + 4 * dims.reduce((n, dim) => n * Number(dim), 1);
  }, 0);
}

/** What nodes read and none of them makes. */
function readBy(graph: Graph, nodes: readonly NodeProto[]): ReadonlySet<string> {
  const made = new Set(nodes.flatMap(({ output }) => output));
  const names = nodes.flatMap(({ input }) => input);
  return new Set(
    names.filter((name) => name !== '' && !made.has(name) && !graph.initializer(name)),
  );
}
