import type { Graph } from '../graph.js';
import type { RowGuard } from '../site-candidate.js';
import { readFloats } from '../tensor-data.js';
import { type CacheFlow, MOVES } from './cache-flow.js';

/**
 * Finds the guards between attention and its projection by following the output through nodes that
 * only move numbers. The probe of the mask checks that their conditions hold for no row.
 */
export function guardsBehind(graph: Graph, flow: CacheFlow, output: string): RowGuard[] {
  const guards: RowGuard[] = [];
  const open = new Set([output]);
  for (const name of open) {
    for (const node of flow.consumers(name)) {
      const [condition, instead, passed] = node.input;
      if (node.opType === 'Where' && passed === name && isZero(graph, instead)) {
        guards.push({ node, condition, passed });
        open.add(node.output[0]);
      } else if (MOVES.has(node.opType)) open.add(node.output[0]);
    }
  }
  return guards;
}

function isZero(graph: Graph, tensor: string): boolean {
  const weight = graph.weight(tensor);
  return weight !== undefined && readFloats(weight, graph.file).every((value) => value === 0);
}
