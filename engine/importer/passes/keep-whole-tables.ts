import type { Graph } from '../graph.js';
import { constantInts, readersOf } from '../graph-queries.js';
import { intAttribute } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** Operators between a table and the look-up that do not move its rows. */
const KEEPING_ROWS = new Set(['Cast', 'Identity', 'Squeeze']);

/**
 * Exports of 2023 cut rotary tables to the length of the sequence, counted from the cache, before
 * they look up rows by position:
 *
 *     Slice(table, 0, past + length) -> Gather(., position_ids)
 *
 * Where all readers look up rows, none of which is beyond the end, the whole table gives the same
 * result without a length.
 */
export function keepWholeTables(graph: Graph): void {
  const candidates = graph.nodes.filter((node) => isBeginningOfTable(graph, node));
  if (candidates.length === 0) return;
  const readers = readersOf(graph);
  const slices = candidates.filter((node) =>
    isLookedUp(graph, readers, node.output[0], axisOf(graph, node)),
  );
  if (slices.length === 0) return;
  const tables = new Map(slices.map(({ input, output }) => [output[0], input[0]]));
  for (const node of graph.nodes) {
    node.input.forEach((name, index) => {
      node.input[index] = tables.get(name) ?? name;
    });
  }
  graph.removeNodes(...slices);
  graph.rewrites.push(
    `left ${slices.length} tables whole that were cut to the length of the sequence`,
  );
}

function axisOf(graph: Graph, slice: NodeProto): number {
  return constantInts(graph, slice.input[3])?.[0] ?? 0;
}

function isBeginningOfTable(graph: Graph, { opType, input }: NodeProto): boolean {
  const [table, start, end, axes, steps] = input;
  if (opType !== 'Slice' || !graph.isConstant(table) || graph.isConstant(end)) return false;
  const isOne = !steps || constantInts(graph, steps)?.join() === '1';
  return (
    constantInts(graph, start)?.join() === '0' && constantInts(graph, axes)?.length === 1 && isOne
  );
}

/** @param axis axis of the table's rows */
function isLookedUp(
  graph: Graph,
  readers: ReadonlyMap<string, readonly NodeProto[]>,
  tensor: string,
  axis: number,
): boolean {
  const found = readers.get(tensor) ?? [];
  return (
    found.length > 0 &&
    !graph.outputs.has(tensor) &&
    found.every((node) => {
      const { opType, input, output } = node;
      if (opType === 'Gather') {
        return input[0] === tensor && input[1] !== tensor && intAttribute(node, 'axis', 0) === axis;
      }
      // Some exporters squeeze the table to two dimensions first.
      return (
        KEEPING_ROWS.has(opType) &&
        isLookedUp(graph, readers, output[0], opType === 'Squeeze' ? 0 : axis)
      );
    })
  );
}
