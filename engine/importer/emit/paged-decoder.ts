import { dirname } from 'node:path';
import type { PageLayout } from '../../attention/page-layout.js';
import { OctavoError } from '../../errors.js';
import type { AnalyzedModel } from '../analyze-model.js';
import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import {
  type AttentionSite,
  LOGITS,
  type ModelFacts,
  STEP_INPUT,
  STEP_OUTPUT,
} from '../imported-model.js';
import { importMicrosoft, MICROSOFT, setIntAttribute } from '../onnx/nodes.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { checkKernels } from '../passes/check-kernels.js';
import { checkFloats, checkNoAttentionLeft, maxStepTokens } from '../passes/check-ragged.js';
import { cutAtSites } from '../passes/cut.js';
import { type DeviceFloats, halveMatmuls } from '../passes/half-matmuls.js';
import { rankLogits } from '../passes/rank-logits.js';
import { placeWeights } from '../place-weights.js';
import { writeSegment } from '../write-segment.js';
import { DEVICE_INPUT } from './device-inputs.js';
import { cacheInitializers, cacheInputs, type PagedGraph } from './graph-cache.js';
import { formsOf, importReport } from './import-report.js';
import { PagedAttentionNodes } from './paged-attention-nodes.js';
import { type DeviceAbilities, refusalOf } from './refuse-sites.js';

/** A decoder as one graph, with paged attention in it, for a device with a cache of its own. */
export interface PagedDecoder extends ModelFacts {
  /** From tokens, batch and cache to ranked logits. */
  readonly whole: PagedGraph;
  readonly layout: PageLayout;
  /** Nodes without a right kernel for devices: the CPU runs them in the middle of the step. */
  readonly cpuNodes: readonly string[];
}

/** Operators that WebGPU has no kernel for (MoE), or a wrong one (QMoE, with ONNX Runtime 1.30). */
const ON_THE_CPU = new Set(['MoE', 'QMoE']);

/**
 * Emits for a device: replaces each attention node by PagedAttention, and appends the ranking of
 * logits. Consumes the graph.
 *
 * @param layout where the layers' caches are
 * @param abilities what the device's self-test has found
 * @param floats how matmuls of floats are computed
 * @throws OctavoError `model_unsupported`: one line that names file, node and what to do
 */
export function emitPagedDecoder(
  model: AnalyzedModel,
  layout: PageLayout,
  abilities: DeviceAbilities,
  floats: DeviceFloats = 'as-is',
): PagedDecoder {
  const { graph, recognized, sites, recurrent } = model;
  for (const site of recurrent) throw refusal(graph, site, 'keeps a state');
  for (const site of sites) refuse(graph, site, abilities);
  importMicrosoft(graph.model);
  const fed = addInputs(graph, layout);
  const attention = new PagedAttentionNodes(graph);
  const paged = sites.flatMap((site) => attention.of(site, layout.layers[site.layer]));
  graph.replaceNodes(
    recognized.map(({ node }) => node),
    paged,
  );
  const numHalved = floats === 'float16' ? halveMatmuls(graph) : 0;
  const left = cutAtSites(graph, [], fed, [LOGITS]).flatMap((cut) => cut.nodes);
  checkNoAttentionLeft(graph, left);
  checkKernels(graph, left);
  if (model.written === null) multiplyExactly(left);
  const cpuNodes = namesOf(left.filter((n) => n.domain === MICROSOFT && ON_THE_CPU.has(n.opType)));
  rankLogits(graph, model.vocabSize);
  const [cut] = cutAtSites(graph, [], fed, Object.values(STEP_OUTPUT));
  const types = elementTypes(graph);
  checkFloats(graph, sites, types);
  const { directory, place } = placeWeights(graph);
  const caches = new Set(cacheInputs(layout.numSlots));
  const inputs = cut.inputs.filter((name) => !caches.has(name));
  return {
    whole: {
      inputs,
      outputs: cut.outputs,
      write: (cache) => {
        const context = { types, place, index: 0 };
        if (cache === null) {
          return { model: writeSegment(graph, cut, context), weightsDir: directory };
        }
        const { directory: common, ...own } = placeWeights(graph, dirname(cache.file));
        const initializers = cacheInitializers(cache, common as string);
        const segment = writeSegment(
          graph,
          { ...cut, inputs },
          { ...context, ...own, initializers },
        );
        return { model: segment, weightsDir: common };
      },
    },
    layout,
    cpuNodes,
    sites,
    recurrent,
    vocabSize: model.vocabSize,
    hiddenSize: model.hiddenSize,
    weightsDir: directory,
    saturates: model.saturates,
    imageInputs: null,
    servedLength: model.servedLength,
    switchLengths: model.switchLengths,
    maxStepTokens: maxStepTokens(graph, cut.nodes),
    report: importReport(
      model,
      [cut],
      [
        `made PagedAttention with a cache in float16 of ${sites.length} attention nodes (${formsOf(sites)})`,
        ...(numHalved > 0 ? [`${numHalved} matmuls with weights in float16`] : []),
        ...(cpuNodes.length > 0 ? [`left ${cpuNodes.length} nodes of experts to the CPU`] : []),
        `one graph of ${cut.nodes.length} nodes; past, present and mask are gone`,
      ],
    ),
  };
}

function refuse(graph: Graph, site: AttentionSite, abilities: DeviceAbilities): void {
  const reason = refusalOf(site, abilities);
  if (reason !== null) throw refusal(graph, site, reason);
}

function refusal(
  graph: Graph,
  { node, form }: Pick<AttentionSite, 'node' | 'form'>,
  reason: string,
): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node} (${form}) ${reason}: a GPU cannot serve the model. Serve it with --device cpu`,
  );
}

/** @returns the names of all inputs that a step feeds */
function addInputs(graph: Graph, { groups, numSlots }: PageLayout): Set<string> {
  const { blockTable, queryStarts, pastLengths, batchSizes } = DEVICE_INPUT;
  const integers = [queryStarts, pastLengths, batchSizes, ...groups.map((_, g) => blockTable(g))];
  const caches = cacheInputs(numSlots);
  for (const name of integers) graph.addInput(name, Type.INT32);
  for (const name of caches) graph.addInput(name, Type.FLOAT16);
  if (!graph.inputs.has(STEP_INPUT.positionIds)) graph.addInput(STEP_INPUT.positionIds, Type.INT64);
  return new Set([...Object.values(STEP_INPUT), ...integers, ...caches]);
}

/**
 * In a graph that is built of packed weights, products of 8 bits take the CPU's kernel that rounds
 * activations to 8 bits, in two rows so that nothing is lost. WebGPU's rounds otherwise: 2 % of the
 * largest logit. (What a file's own nodes allow stays.)
 */
function multiplyExactly(nodes: readonly NodeProto[]): void {
  for (const node of nodes) {
    if (node.opType === 'MatMulNBits') setIntAttribute(node, 'accuracy_level', 0);
  }
}

/** ONNX Runtime addresses nodes by their names, which must then be unique. */
function namesOf(nodes: readonly NodeProto[]): string[] {
  for (const [i, node] of nodes.entries()) node.name = `octavo.cpu.${i}/${node.name}`;
  return nodes.map(({ name }) => name);
}
