import { checkWeights } from './check-weights.js';
import { elementTypes } from './element-types.js';
import { Graph } from './graph.js';
import {
  type AttentionSite,
  type ImportedModel,
  type ImportReport,
  STEP_INPUT,
  STEP_OUTPUT,
} from './imported-model.js';
import { findModelFile, readModelProto } from './model-file.js';
import { TensorProto_DataType } from './onnx/onnx_pb.js';
import { checkFloats, checkStepInputs, maxStepTokens } from './passes/check-ragged.js';
import { cutAtSites, type SegmentCut } from './passes/cut.js';
import { findSites } from './passes/find-sites.js';
import { keepSampledRows } from './passes/keep-sampled-rows.js';
import { rankLogits } from './passes/rank-logits.js';
import { placeSegments } from './place-segments.js';
import type { RecognisedSite } from './recognisers/recogniser.js';
import { byteLength } from './tensor-data.js';
import { segmentWeights, writeSegment } from './write-segment.js';

export interface ImportOptions {
  /** Directory in the layout of a Hugging Face ONNX model. */
  readonly modelDir: string;
  /** A path inside it, of another ONNX file than the usual ones. */
  readonly file?: string;
  /** Where segments are written while they wait for their sessions, if their weights are external data: on the weights' file system. */
  readonly cacheDir?: string;
}

/**
 * Reads a decoder and makes it servable: finds its attention, cuts it into segments, keeps only sampled rows before the LM head.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`: one line that names file and node
 */
export async function importModel(options: ImportOptions): Promise<ImportedModel> {
  const file = await findModelFile(options.modelDir, options.file);
  const graph = new Graph(await readModelProto(file), file);
  checkWeights(graph);
  checkStepInputs(graph);
  const numNodes = graph.nodes.length;
  const recognised = findSites(graph);
  const vocabSize = keepSampledRows(graph);
  rankLogits(graph);
  const fed = new Set(Object.values(STEP_INPUT));
  const cuts = cutAtSites(graph, recognised, fed, Object.values(STEP_OUTPUT));
  const types = elementTypes(graph);
  const sites = recognised.map((site, layer) => attentionSite(site, layer));
  checkFloats(graph, sites, types);
  const models = cuts.map((cut, index) => writeSegment(graph, cut, types, index));
  const placed = await placeSegments(graph, models, options.cacheDir);
  return {
    segments: cuts.map(({ inputs, outputs }, index) => ({
      index,
      model: placed.models[index],
      inputs,
      outputs,
    })),
    sites,
    vocabSize,
    maxStepTokens: maxStepTokens(
      graph,
      cuts.flatMap((cut) => cut.nodes),
    ),
    report: report(graph, numNodes, cuts, sites),
    release: () => placed.release(),
  };
}

function attentionSite(site: RecognisedSite, layer: number): AttentionSite {
  const { form, node, shape, query, key, value, output } = site;
  return { ...shape, layer, node: node.name, form, query, key, value, output };
}

function report(
  graph: Graph,
  numNodes: number,
  cuts: readonly SegmentCut[],
  sites: readonly AttentionSite[],
): ImportReport {
  const { producerName, producerVersion, opsetImport } = graph.model;
  const weights: Record<string, number> = {};
  for (const tensor of graph.initializers.values()) {
    const type = (TensorProto_DataType[tensor.dataType] ?? `type ${tensor.dataType}`).toLowerCase();
    weights[type] = (weights[type] ?? 0) + byteLength(tensor);
  }
  const kept = cuts.reduce((n, cut) => n + cut.nodes.length, 0);
  return {
    file: graph.file,
    producer: `${producerName} ${producerVersion}`.trim(),
    opsets: Object.fromEntries(opsetImport.map((o) => [o.domain || 'ai.onnx', Number(o.version)])),
    nodes: numNodes,
    weightBytes: Object.values(weights).reduce((a, b) => a + b, 0),
    weights,
    segments: cuts.map((cut) => ({
      nodes: cut.nodes.length,
      weightBytes: segmentWeights(graph, cut).reduce((n, tensor) => n + byteLength(tensor), 0),
    })),
    rewrites: [
      ...graph.rewrites,
      `cut out ${sites.length} attention nodes (${[...new Set(sites.map((s) => s.form))].join(', ')})`,
      `kept ${kept} of ${numNodes} nodes in ${cuts.length} segments; past, present and mask are gone`,
      'batch is one ragged row of tokens, [1, T]',
    ],
  };
}
