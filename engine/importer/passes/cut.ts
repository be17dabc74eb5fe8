import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { ROW_INPUTS, STEP_INPUT } from '../imported-model.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { joinOf } from '../recognizers/cache-flow.js';
import { type RecognizedSite, siteInputs } from '../recognizers/recognizer.js';
import { keepsState } from './check-decoder.js';

/** The part of the graph that becomes one segment. */
export interface SegmentCut {
  /** In topological order. */
  readonly nodes: readonly NodeProto[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * Cuts the graph at its attention sites. A node belongs to the earliest segment in which all of its
 * inputs are known: whatever depends on site i's output comes after site i. Sites may stand side by
 * side, with inputs that do not depend on one another (attention and Mamba 2 in a layer): they are
 * still computed one after the other. Nodes that only served the sites (masks, lengths, past and
 * present) are dead now, and are dropped.
 *
 * Tensors that a later segment reads become outputs of the segment that computes them. Constant
 * subgraphs are instead repeated in each segment that reads them, because passing a weight between
 * sessions would copy it in every step. Tensors that depend only on the size of the step, such as
 * row numbers, are repeated too: they cost nothing.
 *
 * @param available names of the tensors that a step feeds
 * @param wanted outputs of the last segment
 * @throws OctavoError `model_unsupported` when sites do not follow one another, or a live node
 *   needs an input that is not fed
 */
export function cutAtSites(
  graph: Graph,
  sites: readonly RecognizedSite[],
  available: ReadonlySet<string>,
  wanted: readonly string[],
): SegmentCut[] {
  const level = dependenceLevels(graph, sites);
  sites.forEach((site, index) => {
    const at = Math.max(...siteInputs(site).map((name) => level.get(name) ?? 0));
    if (at <= index) return;
    throw new OctavoError(
      'model_unsupported',
      `${graph.file}: attention node ${site.node.name} is number ${index} but depends on ${at} others; ` +
        'only decoders whose attention layers follow one another are supported',
    );
  });
  const live = liveNodes(graph, sites, available, wanted);
  const repeated = repeatedTensors(graph);
  const segments = Array.from({ length: sites.length + 1 }, (_, index) => {
    const nodes = live.filter(
      (node) => nodeLevel(node, level) === index && !isRepeated(node, repeated),
    );
    return withRepeated(graph, nodes, repeated);
  });
  return connect(graph, sites, segments, wanted, repeated);
}

/** Constants, and what is computed from them and from the sizes of the step's inputs alone. */
export function repeatedTensors(graph: Graph): ReadonlySet<string> {
  const repeated = new Set<string>();
  const inputs = new Set<string>([STEP_INPUT.inputIds, STEP_INPUT.positionIds]);
  for (const node of graph.nodes) {
    const isSize = node.opType === 'Shape' && inputs.has(node.input[0]);
    const follows = node.input.every((name) => graph.isConstant(name) || repeated.has(name));
    if (isSize || follows) for (const output of node.output) repeated.add(output);
  }
  return repeated;
}

/** Whether a node makes nothing else. */
export function isRepeated(node: NodeProto, repeated: ReadonlySet<string>): boolean {
  return node.output.every((name) => name === '' || repeated.has(name));
}

/**
 * For every tensor, the number of sites before it. Inputs of the last segment come after all of
 * them.
 */
function dependenceLevels(graph: Graph, sites: readonly RecognizedSite[]): Map<string, number> {
  const level = new Map([...ROW_INPUTS].map((name) => [name, sites.length]));
  const siteOf = new Map(sites.map((site, index) => [site.node, index]));
  for (const node of graph.nodes) {
    const own = siteOf.has(node) ? (siteOf.get(node) ?? 0) + 1 : nodeLevel(node, level);
    // (Absent outputs have an empty name, and so do absent inputs: they must not be taken for each
    // other.)
    for (const output of node.output) if (output !== '') level.set(output, own);
  }
  return level;
}

function nodeLevel(node: NodeProto, level: ReadonlyMap<string, number>): number {
  return Math.max(0, ...node.input.map((name) => level.get(name) ?? 0));
}

/**
 * Nodes on which `wanted` or the inputs of a site depend, in topological order, without the sites.
 */
function liveNodes(
  graph: Graph,
  sites: readonly RecognizedSite[],
  available: ReadonlySet<string>,
  wanted: readonly string[],
): NodeProto[] {
  const siteNodes = new Set(sites.map((site) => site.node));
  const gone = goneTensors(graph, sites, available);
  const needed = new Set([...wanted, ...sites.flatMap(siteInputs)]);
  const live: NodeProto[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (siteNodes.has(node) || !node.output.some((name) => name !== '' && needed.has(name)))
      continue;
    refuseBranches(graph, node);
    live.push(node);
    for (const name of node.input) {
      needed.add(name);
      if (!gone.has(name)) continue;
      if (isState(graph, name)) {
        throw keepsState(graph, `node ${node.name} (${node.opType}) keeps a state (${name})`);
      }
      throw new OctavoError(
        'model_unsupported',
        `${graph.file}: node ${node.name} (${node.opType}) needs ${name} outside of attention, where only input_ids and position_ids are fed; ` +
          'export the model with position_ids as an input',
      );
    }
  }
  return live.reverse();
}

/** Operators that apply a graph again and again. */
const LOOPS = new Set(['Scan', 'Loop']);

const FLOATS = new Set<number>([Type.FLOAT, Type.FLOAT16, Type.BFLOAT16]);

/**
 * Float inputs that no attention reads are the state of another kind of layer. Integer inputs are
 * lengths and masks.
 */
function isState(graph: Graph, name: string): boolean {
  const type = graph.inputs.get(name)?.type?.value;
  if (type?.case !== 'tensorType' || !FLOATS.has(type.value.elemType)) return false;
  return !graph.nodes.some(
    (node) =>
      joinOf(graph, node)?.past === name ||
      (node.opType.endsWith('Attention') && node.input.includes(name)),
  );
}

/**
 * Tensors that the cut graph lacks: inputs that a step does not feed, and outputs of sites besides
 * the first.
 */
function goneTensors(
  graph: Graph,
  sites: readonly RecognizedSite[],
  available: ReadonlySet<string>,
): Set<string> {
  const inputs = [...graph.inputs.keys()].filter((name) => !available.has(name));
  const present = sites.flatMap(({ node, output }) => node.output.filter((n) => n !== output));
  return new Set([...inputs, ...present.filter((name) => name !== '')]);
}

/**
 * A condition would hold for all tokens of a step, so a request's text would depend on the batch.
 * (And a branch captures tensors that its node does not list.)
 */
function refuseBranches(graph: Graph, node: NodeProto): void {
  if (node.attribute.every(({ g, graphs }) => !g && graphs.length === 0)) return;
  if (LOOPS.has(node.opType)) {
    const what = `node ${node.name} (${node.opType}) goes through the tokens one by one, and carries a state`;
    throw keepsState(graph, what);
  }
  throw new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${node.opType}) holds a graph of its own; only graphs without branches and loops are ` +
      'supported: export the model without them, not as a merged decoder, and with the rotary tables of one context length',
  );
}

/** The nodes, and the repeated subgraphs that they read. */
export function withRepeated(
  graph: Graph,
  nodes: readonly NodeProto[],
  repeated: ReadonlySet<string>,
): NodeProto[] {
  const wanted = new Set<NodeProto>(nodes);
  for (const node of wanted) {
    for (const name of node.input) {
      const maker = graph.producer(name);
      // A Set may grow while it is iterated, so producers of producers are visited, too.
      if (maker && repeated.has(name)) wanted.add(maker);
    }
  }
  return graph.nodes.filter((node) => wanted.has(node));
}

function connect(
  graph: Graph,
  sites: readonly RecognizedSite[],
  segments: readonly (readonly NodeProto[])[],
  atLast: readonly string[],
  repeated: ReadonlySet<string>,
): SegmentCut[] {
  const reads = segments.map((nodes) => {
    const made = new Set(nodes.flatMap((node) => node.output));
    const names = nodes.flatMap((node) => node.input);
    return new Set(
      names.filter((name) => name !== '' && !made.has(name) && !graph.initializer(name)),
    );
  });
  return segments.map((nodes, index) => {
    const site = sites[index];
    const wanted = new Set(site ? siteInputs(site) : atLast);
    for (const later of reads.slice(index + 1)) for (const name of later) wanted.add(name);
    for (const later of sites.slice(index + 1)) {
      for (const name of siteInputs(later)) wanted.add(name);
    }
    const made = new Set(
      nodes.filter((node) => !isRepeated(node, repeated)).flatMap((node) => node.output),
    );
    return {
      nodes,
      inputs: [...reads[index]],
      outputs: [...wanted].filter((name) => made.has(name)),
    };
  });
}
