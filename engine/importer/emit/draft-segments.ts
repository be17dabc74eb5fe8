import { describeSites } from '../analyze-model.js';
import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import { type AttentionSite, DRAFT_TENSOR, type Segment, STEP_INPUT } from '../imported-model.js';
import { checkKernels } from '../passes/check-kernels.js';
import { checkFloats } from '../passes/check-ragged.js';
import { cutAtSites } from '../passes/cut.js';
import { placeWeights } from '../place-weights.js';
import type { RecognizedSite } from '../recognizers/recognizer.js';
import { byteLength } from '../tensor-data.js';
import { segmentWeights, writeSegment } from '../write-segment.js';

/** A layer that drafts, cut at its attention. */
export interface ImportedDraftLayer {
  /** From embeddings and hidden rows to the inputs of the site, and from its output on. */
  readonly segments: readonly [before: Segment, behind: Segment];
  readonly site: AttentionSite;
  /** See `ModelFacts`; the same for the next one. */
  readonly weightsDir: string | null;
  readonly saturates: boolean;
  readonly weightBytes: number;
}

const FED: ReadonlySet<string> = new Set([
  STEP_INPUT.positionIds,
  STEP_INPUT.sequenceLengths,
  STEP_INPUT.zeroPoints,
  DRAFT_TENSOR.embeddings,
  DRAFT_TENSOR.hidden,
]);

/**
 * Emits a layer that drafts for the CPU. Consumes the graph.
 *
 * @param recognized its one site
 * @throws OctavoError `model_unsupported`
 */
export function emitDraftLayer(
  graph: Graph,
  recognized: readonly RecognizedSite[],
  saturates: boolean,
): ImportedDraftLayer {
  const { cuts: described, sites } = describeSites(recognized);
  const cuts = cutAtSites(graph, recognized, FED, [DRAFT_TENSOR.output]);
  checkKernels(
    graph,
    cuts.flatMap(({ nodes }) => nodes),
  );
  const types = elementTypes(graph);
  checkFloats(graph, described, types);
  const { directory, place } = placeWeights(graph);
  const [before, behind] = cuts.map(
    (cut, index): Segment => ({
      index,
      inputs: cut.inputs,
      outputs: cut.outputs,
      get model() {
        return writeSegment(graph, cut, { types, place, index });
      },
    }),
  );
  const weights = cuts.flatMap((cut) => segmentWeights(graph, cut));
  const weightBytes = weights.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  return {
    segments: [before, behind],
    site: sites[0],
    weightsDir: directory,
    saturates,
    weightBytes,
  };
}
