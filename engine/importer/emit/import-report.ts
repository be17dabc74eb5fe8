import { type AnalyzedModel, firstOf } from '../analyze-model.js';
import type { ImportReport } from '../imported-model.js';
import { TensorProto_DataType } from '../onnx/onnx_pb.js';
import type { SegmentCut } from '../passes/cut.js';
import { byteLength } from '../tensor-data.js';
import { segmentWeights } from '../write-segment.js';

/**
 * What the importer found and did.
 *
 * @param cuts all graphs that were emitted
 * @param emission lines about the emission, in its order
 */
export function importReport(
  { graph, file, exporter, variant, written, architecture }: AnalyzedModel,
  cuts: readonly SegmentCut[],
  emission: readonly string[],
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
    rewrites: [...graph.rewrites, ...emission, 'batch is one ragged row of tokens, [1, T]'],
  };
}

/**
 * Counts nodes of the file by their output names, which rewriting keeps. It also adds nodes, so the
 * total may exceed the file's.
 */
export function describeSegments(before: ReadonlySet<string>, cuts: readonly SegmentCut[]): string {
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

/** The forms of the attention nodes, each once, for a line of the report. */
export function formsOf(sites: readonly { readonly form: string }[]): string {
  return [...new Set(sites.map(({ form }) => form))].join(', ');
}
