import type { Tensor } from 'onnxruntime-node';
import { elementTypes } from '../element-types.js';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { LOGITS, STEP_INPUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { Probe, type ProbeStep } from '../probe/probe.js';
import { type RecognizedSite, siteInputs } from '../recognizers/recognizer.js';
import { SITE } from '../recognizers/replace-site.js';

/**
 * Outside of attention, exporters read cache and mask only for sizes: the batch, the step's length,
 * positions counted from the past. An integer tensor that turns out to be one of these is derived
 * from the step's own inputs instead. Positions are then right in a row of many sequences, and
 * neither cache nor mask is needed. Any other tensor stays, and the cut refuses it.
 *
 * @param maxLength a step with this many tokens before it is probed too: a tensor that changes
 *   there, such as a switch of rotary tables, is no size
 */
export async function deriveFromStep(
  graph: Graph,
  sites: readonly RecognizedSite[],
  maxLength: number,
): Promise<void> {
  const probe = new Probe(graph);
  // (Some depend on sizes of activations behind an attention. They need the cache for their
  // positions, if at all.)
  const names = probe.computable(integersOfCache(graph, sites), SITE);
  if (names.length === 0) return;
  const steps: ProbeStep[] = [
    { past: 6, length: 5 },
    { past: 9, length: 5 },
    { past: 6, length: 4 },
    { past: Math.max(6, maxLength - 4), length: 4 },
  ];
  const results = await probe.run(names, steps, () => new Map()).catch(() => null);
  // Their sources are unknown; the cut refuses the nodes that need them.
  if (!results) return;
  const made: NodeProto[] = [];
  const sources = new Map<string, string>();
  for (const name of names) {
    const seen = results.map((result) => read(result.get(name)));
    const source = sourceOf(graph, name, seen, steps, made);
    if (source) sources.set(name, source);
  }
  if (sources.size === 0) return;
  for (const node of graph.nodes) {
    node.input.forEach((name, index) => {
      node.input[index] = sources.get(name) ?? name;
    });
  }
  if (!graph.inputs.has(STEP_INPUT.positionIds)) {
    graph.addInput(STEP_INPUT.positionIds, Type.INT64);
  }
  graph.addNodes(...made);
  graph.rewrites.push('took batch, length and positions from the step instead of cache and mask');
}

/** Integer tensors that live nodes read and that depend on cache or mask. */
function integersOfCache(graph: Graph, sites: readonly RecognizedSite[]): string[] {
  const types = elementTypes(graph);
  const fed = new Set<string>(Object.values(STEP_INPUT));
  const siteNodes = new Set(sites.map(({ node }) => node));
  const fromCache = new Set([...graph.inputs.keys()].filter((name) => !fed.has(name)));
  for (const node of graph.nodes) {
    if (siteNodes.has(node)) continue;
    if (node.input.some((name) => fromCache.has(name))) {
      for (const output of node.output) fromCache.add(output);
    }
  }
  const open = new Set([LOGITS, ...sites.flatMap(siteInputs)]);
  const found: string[] = [];
  for (const name of open) {
    const node = graph.producer(name);
    if (!node || siteNodes.has(node) || !fromCache.has(name)) {
      // The nodes before a site's output are reached through the site's own inputs.
      if (node && !siteNodes.has(node)) for (const input of node.input) open.add(input);
      continue;
    }
    if (types.get(name) === Type.INT64) found.push(name);
    for (const input of node.input) open.add(input);
  }
  return found;
}

interface Seen {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

function read(tensor: Tensor | undefined): Seen {
  const values = tensor?.data as BigInt64Array | undefined;
  return { dims: tensor?.dims ?? [], values: Array.from(values ?? [], Number) };
}

/** The tensor that replaces what was observed; the nodes that compute it are added to `made`. */
function sourceOf(
  graph: Graph,
  name: string,
  seen: readonly Seen[],
  steps: readonly ProbeStep[],
  made: NodeProto[],
): string | undefined {
  const same = (a: Seen, b: Seen): boolean =>
    a.dims.join() === b.dims.join() && a.values.join() === b.values.join();
  const all = (expected: (step: ProbeStep) => readonly number[]): boolean =>
    seen.every(({ values }, i) => values.join() === expected(steps[i]).join());
  const base = `${name}/octavo.step`;
  if (seen.every((other) => same(seen[0], other))) {
    return addInt64s(graph, base, seen[0].values, seen[0].dims);
  }
  const shape = (): string => addInt64s(graph, `${base}.dims`, openDims(seen));
  if (all(({ length }) => [length])) {
    const axis = addInt64s(graph, `${base}.axis`, [1]);
    made.push(makeNode('Shape', `${base}.ids`, [STEP_INPUT.inputIds], [`${base}.ids`]));
    made.push(makeNode('Gather', `${base}.length`, [`${base}.ids`, axis], [`${base}.length`]));
    made.push(makeNode('Reshape', base, [`${base}.length`, shape()], [base]));
    return base;
  }
  // In some families, position tables begin with rows for padding.
  const first = seen[0].values[0] - steps[0].past;
  if (!all(({ past, length }) => Array.from({ length }, (_, i) => first + past + i)))
    return undefined;
  made.push(makeNode('Reshape', base, [STEP_INPUT.positionIds, shape()], [base]));
  if (first === 0) return base;
  const shifted = `${base}.shifted`;
  const offset = addInt64s(graph, `${base}.offset`, [first]);
  made.push(makeNode('Add', shifted, [base, offset], [shifted]));
  return shifted;
}

/** Dimensions for a Reshape: the one that differs between steps becomes -1. */
function openDims(seen: readonly Seen[]): number[] {
  return seen[0].dims.map((size, axis) =>
    seen.every(({ dims }) => dims[axis] === size) ? size : -1,
  );
}
