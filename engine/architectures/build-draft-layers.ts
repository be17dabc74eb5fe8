import { sitesIn } from '../importer/analyze-model.js';
import { checkWeights as checkStoredWeights } from '../importer/check-weights.js';
import { emitDraftLayer, type ImportedDraftLayer } from '../importer/emit/draft-segments.js';
import { Graph } from '../importer/graph.js';
import { joinResiduals } from '../importer/passes/join-residuals.js';
import { noteSaturating } from '../importer/passes/saturating-matmuls.js';
import { turnWeights } from '../importer/passes/turn-weights.js';
import { chooseKind } from '../importer/quantize/choose-kind.js';
import { packedInt8 } from '../importer/quantize/unpack-model.js';
import { readFloats } from '../importer/tensor-data.js';
import { buildDraftLayer } from './build/draft-layer-graph.js';
import { storedFloats } from './build/stored-weights.js';
import { type BuildModelOptions, rewritten } from './build-model.js';
import type { DescribedDraftLayers } from './draft-layers/draft-layers.js';

export type BuildDraftLayersOptions = Pick<
  BuildModelOptions,
  'servedLength' | 'quantize' | 'activations' | 'widen'
>;

/**
 * Layers that draft, ready for the CPU; their weights are rewritten as those of the model are.
 *
 * @throws OctavoError `model_file_corrupt`, and what the rewriting of weights throws
 */
export async function buildDraftLayers(
  { layers, checkpoint }: DescribedDraftLayers,
  { servedLength, quantize, activations = 'exact', widen }: BuildDraftLayersOptions,
): Promise<ImportedDraftLayer[]> {
  const { tensors, file } = checkpoint;
  const made: ImportedDraftLayer[] = [];
  for (const stage of layers.stages) {
    const built = buildDraftLayer(layers, stage, tensors, {
      servedLength,
      readFloats: (weight) => readFloats(storedFloats(tensors, weight), file),
    });
    const source = new Graph(built.model, file);
    checkStoredWeights(source);
    const saturates = await noteSaturating(source, packedInt8(source));
    const chosen = quantize ? await chooseKind(source, { ...quantize, activations }) : null;
    const graph = await rewritten(source, chosen, { ...(widen && { widen }) }, activations);
    turnWeights(graph);
    joinResiduals(graph);
    made.push(emitDraftLayer(graph, sitesIn(graph, built.sites), saturates));
  }
  return made;
}
