import type { Graph } from '../graph.js';
import { isExternal } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import { copyWeights } from './copy-weights.js';
import type { Activations } from './quantization.js';
import { packedIn, unpackWeights } from './unpack-model.js';
import type { WeightsFile } from './weights-file.js';

/**
 * Copies norms, biases, rotary tables and untied embeddings unchanged, and unpacks what is packed
 * and not quantized.
 *
 * @param own names of weights that were written already
 */
export async function copyRest(
  graph: Graph,
  own: ReadonlySet<string>,
  target: WeightsFile,
  activations: Activations,
  progress: (read: number) => Promise<void>,
): Promise<void> {
  const packed = packedIn(graph);
  const rest = liveParts(graph).initializers.filter(
    (tensor) => isExternal(tensor) && !own.has(tensor.name) && !packed.has(tensor),
  );
  await unpackWeights(graph, target, activations, progress);
  await copyWeights(graph.file, rest, new Set(), target, async () => undefined);
}
