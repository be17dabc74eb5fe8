import { Graph } from '../importer/graph.js';
import { readModelProto } from '../importer/model-file.js';
import { widenFloats } from '../importer/passes/widen-floats.js';

/** An encoder's graph as it is computed. */
export interface EncoderGraph {
  readonly graph: Graph;
  /**
   * Whether a text's result would depend on the others in its batch: 8-bit exports choose one scale
   * for all numbers of an activation.
   */
  readonly mixesTexts: boolean;
}

/**
 * Reads an encoder's graph; half floats become float32.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function readEncoderGraph(file: string): Promise<EncoderGraph> {
  const graph = new Graph(await readModelProto(file), file);
  widenFloats(graph);
  const mixesTexts = graph.nodes.some(({ opType }) => opType.startsWith('DynamicQuantize'));
  return { graph, mixesTexts };
}
