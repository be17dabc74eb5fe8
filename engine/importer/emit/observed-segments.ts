import type { AnalyzedModel } from '../analyze-model.js';
import { elementTypes } from '../element-types.js';
import { type ImportedModel, STEP_INPUT } from '../imported-model.js';
import { checkKernels } from '../passes/check-kernels.js';
import { checkFloats, checkNoAttentionLeft } from '../passes/check-ragged.js';
import { cutAtSites } from '../passes/cut.js';
import { splitCut } from '../passes/split-cut.js';
import { takeImages } from '../passes/take-images.js';
import { placeWeights } from '../place-weights.js';
import { writeSegment } from '../write-segment.js';

/** A part of a segment: a graph of its own, so that no more weights are loaded at a time. */
export interface ObservedPart {
  readonly index: number;
  /** See `Segment`; the same for the following two. */
  readonly model: Uint8Array;
  readonly inputs: readonly string[];
  /** Those that are observed included. */
  readonly outputs: readonly string[];
  /** Asked for: outputs, and of the first part the output of the site before the segment. */
  readonly observed: readonly string[];
  /** Outputs of this part and of earlier ones of the segment that nothing reads any more. */
  readonly dead: readonly string[];
}

/** A segment in parts, which shows some of the tensors it computes. */
export interface ObservedSegment {
  /** See `Segment`; the same for the following. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly parts: readonly ObservedPart[];
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
 * @param partBytes see `splitCut`
 * @throws OctavoError `model_unsupported`: one line that names file and node
 */
export function emitObserved(
  model: AnalyzedModel,
  observed: readonly string[],
  partBytes: number,
): ObservedModel {
  const { graph, recognized } = model;
  const imageInputs = takeImages(graph, model.hiddenSize);
  const cuts = cutAtSites(graph, recognized, new Set(Object.values(STEP_INPUT)), observed);
  const nodes = cuts.flatMap((cut) => cut.nodes);
  checkNoAttentionLeft(graph, nodes);
  checkKernels(graph, nodes);
  const types = elementTypes(graph);
  checkFloats(graph, model.cuts, types);
  const { directory, place } = placeWeights(graph);
  let count = 0;
  const segments = cuts.map((cut, index): ObservedSegment => {
    const outputs = index === cuts.length - 1 ? [] : cut.outputs;
    const site = index > 0 ? model.cuts[index - 1].output : null;
    const parts = splitCut(graph, { ...cut, outputs }, types, new Set(observed), partBytes);
    return {
      inputs: cut.inputs,
      outputs,
      parts: parts.map((part, number): ObservedPart => {
        const shown = (name: string): boolean =>
          part.outputs.includes(name) || (number === 0 && name === site);
        const later = new Set(parts.slice(number + 1).flatMap(({ inputs }) => inputs));
        const made = [...part.inputs, ...part.outputs].filter((name) => !cut.inputs.includes(name));
        const isDead = (name: string): boolean => !later.has(name) && !outputs.includes(name);
        const own = count++;
        return {
          index: own,
          inputs: part.inputs,
          outputs: part.outputs,
          observed: observed.filter(shown),
          dead: made.filter(isDead),
          get model() {
            return writeSegment(graph, part, { types, place, index: own });
          },
        };
      }),
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
