import { checkWeights } from './check-weights.js';
import { elementTypes } from './element-types.js';
import { describeExporter } from './exporter.js';
import { Graph } from './graph.js';
import {
  type AttentionSite,
  type ImportedModel,
  type ImportReport,
  LOGITS,
  STEP_INPUT,
  STEP_OUTPUT,
} from './imported-model.js';
import { findModelFile, readModelProto } from './model-file.js';
import { TensorProto_DataType } from './onnx/onnx_pb.js';
import { checkDecoder } from './passes/check-decoder.js';
import { checkKernels } from './passes/check-kernels.js';
import {
  checkFloats,
  checkNoAttentionLeft,
  checkStepInputs,
  maxStepTokens,
} from './passes/check-ragged.js';
import { chooseBranches } from './passes/choose-branches.js';
import { chooseForSequences } from './passes/choose-for-sequences.js';
import { cutAtSites, type SegmentCut } from './passes/cut.js';
import { deriveFromStep } from './passes/derive-from-step.js';
import { findSites } from './passes/find-sites.js';
import { keepSampledRows } from './passes/keep-sampled-rows.js';
import { keepWholeTables } from './passes/keep-whole-tables.js';
import { rankLogits } from './passes/rank-logits.js';
import { repeatPositions } from './passes/repeat-positions.js';
import { noteSaturatingProducts } from './passes/saturating-products.js';
import { scaleRows } from './passes/scale-rows.js';
import { stateCacheSizes } from './passes/state-cache-sizes.js';
import { widenFloats } from './passes/widen-floats.js';
import { widenIds } from './passes/widen-ids.js';
import { placeWeights } from './place-weights.js';
import { type QuantizeModelOptions, quantizeModel } from './quantize/quantize-model.js';
import type { RecognisedSite } from './recognisers/recogniser.js';
import { byteLength } from './tensor-data.js';
import { chooseVariant, type Dtype } from './variants.js';
import { segmentWeights, writeSegment } from './write-segment.js';

export interface ImportOptions {
  /** Directory in the layout of a Hugging Face ONNX model. */
  readonly modelDir: string;
  /** A path inside it, of another ONNX file than the usual ones. */
  readonly file?: string;
  /** Which of the usual ones; `auto` without it. */
  readonly dtype?: Dtype | 'auto';
  /** Rewrites the products of the graph as W8A8. */
  readonly quantize?: QuantizeModelOptions;
  /** Tokens that the model was made for, from its config.json: masks are looked at as far. */
  readonly maxLength?: number;
  /** Tokens of the longest sequence that is served; without it, `maxLength`. */
  readonly servedLength?: number;
}

/** How far out masks are looked at when the model's length is not known. */
const DEFAULT_LENGTH = 1024;

/**
 * Reads a decoder and makes it servable: finds its attention, cuts it into segments, keeps only sampled rows before the LM head.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`: one line that names file and node
 */
export async function importModel(options: ImportOptions): Promise<ImportedModel> {
  const { modelDir, quantize } = options;
  const variant =
    options.file === undefined
      ? await chooseVariant(modelDir, options.dtype ?? 'auto')
      : { path: options.file, reason: 'by its path' };
  const file = await findModelFile(modelDir, variant.path);
  const maxLength = options.maxLength ?? DEFAULT_LENGTH;
  const servedLength = options.servedLength ?? maxLength;
  const source = new Graph(await readModelProto(file), file);
  const exporter = describeExporter(source);
  checkWeights(source);
  checkDecoder(source);
  repeatPositions(source);
  widenIds(source);
  checkStepInputs(source);
  stateCacheSizes(source);
  const before = new Set(source.nodes.map(({ output }) => firstOf(output)));
  await chooseBranches(source, servedLength);
  widenFloats(source);
  keepWholeTables(source);
  // Before W8A8 adds products of its own, whose bits are chosen for this CPU.
  const saturates = await noteSaturatingProducts(source);
  const found = await findSites(source, { maxLength });
  // First, so that what chooses tokens for logits needs nothing from the step.
  const { vocabSize, hiddenSize } = keepSampledRows(source);
  scaleRows(source);
  await deriveFromStep(source, found, maxLength);
  const switchLengths = await chooseForSequences(source, found, servedLength);
  const graph = quantize ? await quantizeModel(source, quantize) : source;
  const recognised = found.map((site) => inGraph(site, graph));
  const fed = new Set(Object.values(STEP_INPUT));
  const left = cutAtSites(graph, recognised, fed, [LOGITS]).flatMap((cut) => cut.nodes);
  checkNoAttentionLeft(graph, left);
  checkKernels(graph, left);
  rankLogits(graph);
  const cuts = cutAtSites(graph, recognised, fed, Object.values(STEP_OUTPUT));
  const types = elementTypes(graph);
  const sites = recognised.map(attentionSite);
  checkFloats(graph, sites, types);
  const { directory, place } = placeWeights(graph);
  return {
    segments: cuts.map((cut, index) => ({
      index,
      inputs: cut.inputs,
      outputs: cut.outputs,
      get model() {
        return writeSegment(graph, cut, { types, place, index });
      },
    })),
    sites,
    vocabSize,
    hiddenSize,
    weightsDir: directory,
    saturates,
    servedLength,
    switchLengths,
    maxStepTokens: maxStepTokens(
      graph,
      cuts.flatMap((cut) => cut.nodes),
    ),
    report: { ...report(graph, file, before, cuts, sites), exporter, variant: variant.reason },
  };
}

/** The same site after the graph was rewritten: tensors keep their names. */
function inGraph(site: RecognisedSite, graph: Graph): RecognisedSite {
  const node = graph.producer(site.output);
  if (!node) throw new Error(`no node of the rewritten graph makes ${site.output}`);
  return { ...site, node };
}

function attentionSite(
  site: RecognisedSite,
  layer: number,
  all: readonly RecognisedSite[],
): AttentionSite {
  const { form, node, shape, query, key, value, output, cache } = site;
  const owner = cache === null ? layer : all.findIndex((other) => other.cache === cache);
  const pages = owner === layer ? {} : { pagesOf: owner };
  return { ...shape, ...pages, layer, node: node.name, form, query, key, value, output };
}

function report(
  graph: Graph,
  file: string,
  before: ReadonlySet<string>,
  cuts: readonly SegmentCut[],
  sites: readonly AttentionSite[],
): Omit<ImportReport, 'variant' | 'exporter'> {
  const { producerName, producerVersion, opsetImport } = graph.model;
  const weights: Record<string, number> = {};
  for (const tensor of graph.initializers.values()) {
    const type = (TensorProto_DataType[tensor.dataType] ?? `type ${tensor.dataType}`).toLowerCase();
    weights[type] = (weights[type] ?? 0) + byteLength(tensor);
  }
  return {
    file,
    producer: `${producerName} ${producerVersion}`.trim(),
    opsets: Object.fromEntries(opsetImport.map((o) => [o.domain || 'ai.onnx', Number(o.version)])),
    nodes: before.size,
    weightBytes: Object.values(weights).reduce((a, b) => a + b, 0),
    weights,
    segments: cuts.map((cut) => ({
      nodes: cut.nodes.length,
      weightBytes: segmentWeights(graph, cut).reduce((n, tensor) => n + byteLength(tensor), 0),
    })),
    rewrites: [
      ...graph.rewrites,
      `cut out ${sites.length} attention nodes (${[...new Set(sites.map((s) => s.form))].join(', ')})`,
      describeSegments(before, cuts),
      'batch is one ragged row of tokens, [1, T]',
    ],
  };
}

/** Told by their outputs, whose names stay: rewriting adds nodes, so that more may be left than the file has. */
function describeSegments(before: ReadonlySet<string>, cuts: readonly SegmentCut[]): string {
  const written = cuts.flatMap(({ nodes }) => nodes);
  const distinct = [...new Set(written)];
  const kept = distinct.filter(({ output }) => before.has(firstOf(output))).length;
  const repeats = written.length - distinct.length;
  const repeated = repeats > 0 ? ` (and ${repeats} times a constant that another has too)` : '';
  return (
    `kept ${kept} of the file's ${before.size} nodes and added ${distinct.length - kept}, in ${cuts.length} segments${repeated}; ` +
    'past, present and mask are gone'
  );
}

function firstOf(outputs: readonly string[]): string {
  return outputs.find((name) => name !== '') ?? '';
}
