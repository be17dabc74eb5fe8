import { type AnalyzedModel, describeSites } from '../analyze-model.js';
import { elementTypes } from '../element-types.js';
import {
  type ImportedModel,
  LOGITS,
  type Segment,
  STEP_INPUT,
  STEP_OUTPUT,
} from '../imported-model.js';
import { checkKernels } from '../passes/check-kernels.js';
import { checkFloats, checkNoAttentionLeft, maxStepTokens } from '../passes/check-ragged.js';
import { cutAtSites, type SegmentCut } from '../passes/cut.js';
import { openEnds } from '../passes/open-ends.js';
import { packSites } from '../passes/pack-sites.js';
import { rankLogits } from '../passes/rank-logits.js';
import { takeImages } from '../passes/take-images.js';
import { placeWeights } from '../place-weights.js';
import { writeAdaptedSegment, writeSegment } from '../write-segment.js';
import { describeSegments, formsOf, importReport } from './import-report.js';

export interface EmitOptions {
  /** Whether embedding and head are to be run by themselves, too; default false. */
  readonly opensEnds?: boolean;
}

/**
 * Emits for the CPU: cuts an analyzed graph into segments at its attention nodes, and appends the
 * ranking of logits to the last one. Consumes the graph.
 *
 * @throws OctavoError `model_unsupported`: one line that names file and node
 */
export function emitSegments(
  model: AnalyzedModel,
  { opensEnds = false }: EmitOptions = {},
): ImportedModel {
  const { graph } = model;
  const recognized = packSites(graph, model.recognized);
  const { cuts: described, sites, recurrent } = describeSites(recognized);
  const imageInputs = takeImages(graph, model.hiddenSize);
  const fed = new Set(Object.values(STEP_INPUT));
  const left = cutAtSites(graph, recognized, fed, [LOGITS]).flatMap((cut) => cut.nodes);
  checkNoAttentionLeft(graph, left);
  checkKernels(graph, left);
  rankLogits(graph);
  const whole = cutAtSites(graph, recognized, fed, Object.values(STEP_OUTPUT));
  const last = whole[whole.length - 1];
  const ends = opensEnds ? openEnds(graph, last, model.embedding) : null;
  const cuts = ends ? [...whole.slice(0, -1), ends.body, ends.head] : whole;
  const types = elementTypes(graph);
  checkFloats(graph, described, types);
  const { directory, place } = placeWeights(graph);
  const write = (cut: SegmentCut, index: number): Segment => {
    const context = { types, place, index };
    const made = new Set(cut.nodes.flatMap(({ output }) => output));
    const targets = model.adapterTargets.filter(({ output }) => made.has(output));
    const adapted = {
      targets,
      get model() {
        return writeAdaptedSegment(graph, cut, context, targets);
      },
    };
    return {
      index,
      inputs: cut.inputs,
      outputs: cut.outputs,
      ...(targets.length > 0 && { adapted }),
      get model() {
        return writeSegment(graph, cut, context);
      },
    };
  };
  const segments = cuts.map(write);
  return {
    segments,
    ...(ends && {
      ends: { embedding: write(ends.embedding, cuts.length), hidden: ends.hidden },
    }),
    adapterTargets: segments.flatMap(({ adapted }) => adapted?.targets ?? []),
    cuts: described,
    sites,
    recurrent,
    vocabSize: model.vocabSize,
    hiddenSize: model.hiddenSize,
    weightsDir: directory,
    saturates: model.saturates,
    imageInputs,
    servedLength: model.servedLength,
    switchLengths: model.switchLengths,
    maxStepTokens: maxStepTokens(
      graph,
      cuts.flatMap((cut) => cut.nodes),
    ),
    report: importReport(model, cuts, describeCuts(model, cuts)),
  };
}

/** What became of the nodes, for the report. */
function describeCuts(
  { sites, recurrent, written }: AnalyzedModel,
  cuts: readonly SegmentCut[],
): string[] {
  if (!written) {
    const states = recurrent.length > 0 ? ` and ${recurrent.length} states` : '';
    return [`built ${cuts.length} segments around ${sites.length} attention layers${states}`];
  }
  return [
    ...cutOut('attention nodes', sites),
    ...cutOut('nodes that keep a state', recurrent),
    describeSegments(written, cuts),
  ];
}

function cutOut(what: string, sites: readonly { readonly form: string }[]): string[] {
  return sites.length === 0 ? [] : [`cut out ${sites.length} ${what} (${formsOf(sites)})`];
}
