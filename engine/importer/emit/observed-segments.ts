import type { AnalyzedModel } from '../analyze-model.js';
import { elementTypes } from '../element-types.js';
import { type ImportedModel, STEP_INPUT } from '../imported-model.js';
import { checkKernels } from '../passes/check-kernels.js';
import { checkFloats, checkNoAttentionLeft } from '../passes/check-ragged.js';
import { cutAtSites } from '../passes/cut.js';
import { takeImages } from '../passes/take-images.js';
import { placeWeights } from '../place-weights.js';
import { writeSegment } from '../write-segment.js';

/** A segment that shows some of the tensors it computes. */
export interface ObservedSegment {
  readonly index: number;
  /** See `Segment`; the same for the following two. */
  readonly model: Uint8Array;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Tensors that are shown besides; some of them may be outputs, too. */
  readonly shown: readonly string[];
  /** Those that are shown, and the output of the site before the segment, if it was asked for. */
  readonly observed: readonly string[];
}

/**
 * A decoder in segments that answers with activations instead of logits: no segment computes more
 * than these need.
 */
export interface ObservedModel
  extends Pick<
    ImportedModel,
    'cuts' | 'sites' | 'recurrent' | 'weightsDir' | 'saturates' | 'imageInputs'
  > {
  readonly segments: readonly ObservedSegment[];
}

/**
 * Emits for the CPU, like `emitSegments`. Consumes the graph.
 *
 * @param observed names of activations
 * @throws OctavoError `model_unsupported`: one line that names file and node
 */
export function emitObserved(model: AnalyzedModel, observed: readonly string[]): ObservedModel {
  const { graph, recognized } = model;
  const imageInputs = takeImages(graph, model.hiddenSize);
  const cuts = cutAtSites(graph, recognized, new Set(Object.values(STEP_INPUT)), observed);
  const nodes = cuts.flatMap((cut) => cut.nodes);
  checkNoAttentionLeft(graph, nodes);
  checkKernels(graph, nodes);
  const types = elementTypes(graph);
  checkFloats(graph, model.cuts, types);
  const { directory, place } = placeWeights(graph);
  const segments = cuts.map((cut, index): ObservedSegment => {
    const made = new Set(cut.nodes.flatMap(({ output }) => output));
    const shown = observed.filter((name) => made.has(name));
    const site = model.cuts.at(index - 1)?.output;
    const isLast = index === cuts.length - 1;
    const outputs = isLast ? [] : cut.outputs;
    const all = { ...cut, outputs: [...new Set([...outputs, ...shown])] };
    return {
      index,
      inputs: cut.inputs,
      outputs,
      shown,
      observed: observed.filter((name) => made.has(name) || (index > 0 && name === site)),
      get model() {
        return writeSegment(graph, all, { types, place, index });
      },
    };
  });
  return {
    segments,
    cuts: model.cuts,
    sites: model.sites,
    recurrent: model.recurrent,
    weightsDir: directory,
    saturates: model.saturates,
    imageInputs,
  };
}
