import { type AnalyzedModel, describeSites, sitesIn } from '../importer/analyze-model.js';
import { checkWeights } from '../importer/check-weights.js';
import { Graph } from '../importer/graph.js';
import type { AdapterTarget } from '../importer/imported-model.js';
import { findAdapterTargets } from '../importer/passes/find-adapter-targets.js';
import { findEmbedding } from '../importer/passes/find-embedding.js';
import { joinResiduals } from '../importer/passes/join-residuals.js';
import { keepSampledRows } from '../importer/passes/keep-sampled-rows.js';
import { noteSaturating } from '../importer/passes/saturating-matmuls.js';
import { turnWeights } from '../importer/passes/turn-weights.js';
import { chooseKind } from '../importer/quantize/choose-kind.js';
import type { Activations } from '../importer/quantize/quantization.js';
import {
  type ChosenQuantization,
  type QuantizeModelOptions,
  quantizeModel,
} from '../importer/quantize/quantize-model.js';
import {
  hasPacked,
  packedInt8,
  sketchUnpacked,
  unpackModel,
} from '../importer/quantize/unpack-model.js';
import { type WidenOptions, widenModel } from '../importer/quantize/widen-model.js';
import { readFloats } from '../importer/tensor-data.js';
import type { Joins } from './build/attention.js';
import { buildDecoder, type DecoderGraph } from './build/decoder-graph.js';
import { storedFloats } from './build/stored-weights.js';
import type { DescribedModel } from './describe-model.js';
import { summaryOf } from './summary.js';

export interface BuildModelOptions {
  /** Length of the longest sequence that is served, in tokens. */
  readonly servedLength: number;
  /** See `ImportOptions`. */
  readonly hasAdapters?: boolean;
  /** Matmuls as W8A8. */
  readonly quantize?: QuantizeModelOptions;
  /** See `ImportOptions`. */
  readonly activations?: Activations;
  /**
   * Where weights of 16 bits are kept as float32; absent: they are widened in memory at each start.
   */
  readonly widen?: WidenOptions;
  /**
   * Whether one matmul may make queries, keys and values; default false. Only our own attention
   * takes them out of one tensor without a node.
   */
  readonly joinsProjections?: boolean;
  /** Whether packed weights are left unread: the graph can be described, but not run. */
  readonly isSketch?: boolean;
}

/**
 * The graph of a described model, in the form that the analysis of an ONNX file ends in: what
 * follows does not know where a graph comes from.
 *
 * @throws OctavoError `model_file_corrupt`, and what the rewriting of weights throws
 */
export async function buildModel(
  model: DescribedModel,
  options: BuildModelOptions,
): Promise<AnalyzedModel> {
  const { servedLength, activations = 'exact', hasAdapters = false } = options;
  const { source, built, chosen } = await chosenGraph(model, options, activations);
  const { vocabSize, hiddenSize } = keepSampledRows(source);
  const saturates = await noteSaturating(source, packedInt8(source));
  const adapterTargets = hasAdapters ? targetsOf(source, model) : [];
  const embedding = findEmbedding(source);
  const graph = await rewritten(source, chosen, options, activations);
  turnWeights(graph);
  joinResiduals(graph);
  const recognized = sitesIn(graph, built.sites);
  return {
    graph,
    recognized,
    ...describeSites(recognized),
    adapterTargets,
    vocabSize,
    hiddenSize,
    embedding,
    saturates,
    switchLengths: built.switchLengths,
    servedLength,
    file: model.checkpoint.file,
    ...model.origin,
    written: null,
    architecture: summaryOf(model.decoder),
  };
}

/** The matmuls that adapters may change, with the order in which their rows are stored. */
function targetsOf(graph: Graph, { decoder, order }: DescribedModel): AdapterTarget[] {
  const targets = findAdapterTargets(graph);
  if (!order) return targets;
  return targets.flatMap((target) => {
    if (order.joinsHeads && target.path.endsWith('query_key_value')) return [];
    if (!order.sortsHeads || !/\.[qk]_proj$/.test(target.path)) return [target];
    return decoder.layers[target.layer].mixers.flatMap((mixer) =>
      mixer.kind === 'attention' ? [{ ...target, sortedHeads: mixer.headSize }] : [],
    );
  });
}

/**
 * The graph alone, before any rewriting.
 *
 * @param joins default: none
 */
export function graphOf(
  { decoder, checkpoint }: DescribedModel,
  servedLength: number,
  joins: Joins = 'none',
): { readonly graph: Graph; readonly built: DecoderGraph } {
  const built = buildDecoder(decoder, checkpoint.tensors, {
    servedLength,
    joins,
    readFloats: (weight) => readFloats(storedFloats(checkpoint.tensors, weight), checkpoint.file),
  });
  return { graph: new Graph(built.model, checkpoint.file), built };
}

/**
 * The graph, and what its weights are rewritten as. Weights of floats can be joined only where
 * something writes them, and packed ones always. An adapter changes queries, keys and values each
 * by itself.
 */
async function chosenGraph(
  model: DescribedModel,
  { servedLength, quantize, hasAdapters = false, joinsProjections = false }: BuildModelOptions,
  activations: Activations,
): Promise<{
  readonly source: Graph;
  readonly built: DecoderGraph;
  readonly chosen: ChosenQuantization | null;
}> {
  const build = (isWritten: boolean) => {
    const joins = isWritten ? 'all' : 'packed';
    return graphOf(model, servedLength, hasAdapters || !joinsProjections ? 'none' : joins);
  };
  const isAuto = quantize?.kind === 'auto';
  const first = build(quantize !== undefined && !isAuto);
  checkWeights(first.graph);
  const chosen = quantize
    ? await chooseKind(first.graph, { ...quantize, activations, scalesAtOnce: hasAdapters })
    : null;
  if (!isAuto || !chosen) return { source: first.graph, built: first.built, chosen };
  const { graph: source, built } = build(true);
  source.rewrites.push(...first.graph.rewrites);
  return { source, built, chosen };
}

/** A graph with its weights as they are multiplied. */
export async function rewritten(
  graph: Graph,
  chosen: ChosenQuantization | null,
  { widen, isSketch = false }: Pick<BuildModelOptions, 'widen' | 'isSketch'>,
  activations: Activations,
): Promise<Graph> {
  if (chosen) return quantizeModel(graph, chosen);
  if (hasPacked(graph)) {
    return isSketch ? sketchUnpacked(graph, activations) : unpackModel(graph, widen, activations);
  }
  return widen ? widenModel(graph, widen) : graph;
}
