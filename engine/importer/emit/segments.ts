import { type AnalyzedModel, firstOf } from '../analyze-model.js';
import { elementTypes } from '../element-types.js';
import {
  type ImportedModel,
  type ImportReport,
  LOGITS,
  STEP_INPUT,
  STEP_OUTPUT,
} from '../imported-model.js';
import { TensorProto_DataType } from '../onnx/onnx_pb.js';
import { checkKernels } from '../passes/check-kernels.js';
import { checkFloats, checkNoAttentionLeft, maxStepTokens } from '../passes/check-ragged.js';
import { cutAtSites, type SegmentCut } from '../passes/cut.js';
import { rankLogits } from '../passes/rank-logits.js';
import { placeWeights } from '../place-weights.js';
import { byteLength } from '../tensor-data.js';
import { segmentWeights, writeSegment } from '../write-segment.js';

/**
 * Emits for the CPU: cuts an analyzed graph into segments at its attention nodes, and appends the
 * ranking of logits to the last one. Consumes the graph.
 *
 * @throws OctavoError `model_unsupported`: one line that names file and node
 */
export function emitSegments(model: AnalyzedModel): ImportedModel {
  const { graph, recognized, cuts: described } = model;
  const fed = new Set(Object.values(STEP_INPUT));
  const left = cutAtSites(graph, recognized, fed, [LOGITS]).flatMap((cut) => cut.nodes);
  checkNoAttentionLeft(graph, left);
  checkKernels(graph, left);
  rankLogits(graph);
  const cuts = cutAtSites(graph, recognized, fed, Object.values(STEP_OUTPUT));
  const types = elementTypes(graph);
  checkFloats(graph, described, types);
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
    cuts: described,
    sites: model.sites,
    recurrent: model.recurrent,
    vocabSize: model.vocabSize,
    hiddenSize: model.hiddenSize,
    weightsDir: directory,
    saturates: model.saturates,
    servedLength: model.servedLength,
    switchLengths: model.switchLengths,
    maxStepTokens: maxStepTokens(
      graph,
      cuts.flatMap((cut) => cut.nodes),
    ),
    report: report(model, cuts),
  };
}

function report(
  { graph, sites, recurrent, file, exporter, variant, written, architecture }: AnalyzedModel,
  cuts: readonly SegmentCut[],
): ImportReport {
  const { producerName, producerVersion, opsetImport } = graph.model;
  const weights: Record<string, number> = {};
  for (const tensor of graph.initializers.values()) {
    const type = (TensorProto_DataType[tensor.dataType] ?? `type ${tensor.dataType}`).toLowerCase();
    weights[type] = (weights[type] ?? 0) + byteLength(tensor);
  }
  return {
    file,
    variant,
    exporter,
    architecture,
    producer: `${producerName} ${producerVersion}`.trim(),
    opsets: Object.fromEntries(opsetImport.map((o) => [o.domain || 'ai.onnx', Number(o.version)])),
    nodes: written?.size ?? graph.nodes.length,
    weightBytes: Object.values(weights).reduce((a, b) => a + b, 0),
    weights,
    segments: cuts.map((cut) => ({
      nodes: cut.nodes.length,
      weightBytes: segmentWeights(graph, cut).reduce((n, tensor) => n + byteLength(tensor), 0),
    })),
    rewrites: [
      ...graph.rewrites,
      ...(written
        ? [
            ...cutOut('attention nodes', sites),
            ...cutOut('nodes that keep a state', recurrent),
            describeSegments(written, cuts),
          ]
        : [`built ${cuts.length} segments around ${sites.length} attention layers`]),
      'batch is one ragged row of tokens, [1, T]',
    ],
  };
}

function cutOut(what: string, sites: readonly { readonly form: string }[]): string[] {
  if (sites.length === 0) return [];
  return [`cut out ${sites.length} ${what} (${[...new Set(sites.map((s) => s.form))].join(', ')})`];
}

/**
 * Counts nodes of the file by their output names, which rewriting keeps. It also adds nodes, so the
 * total may exceed the file's.
 */
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
