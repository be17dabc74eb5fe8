import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { STEP_INPUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import {
  type NodeProto,
  NodeProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { type PositionalPart, positionalPart } from '../positional-part.js';
import {
  type LengthTensor,
  observeLengthTensors,
  observeSwitches,
  observeTokenAxes,
  type TokenAxes,
  type TokenAxis,
} from '../probe/observe-lengths.js';
import { Probe } from '../probe/probe.js';
import { sliceGraph } from '../probe/subgraph.js';
import type { RecognizedSite } from '../recognizers/recognizer.js';

/**
 * Graphs of LongRoPE (Ding et al. 2024) choose short or long factors by the largest position of the
 * step, which is meant to be that of one sequence:
 *
 *     ReduceMax(position_ids) -> Greater(original length) -> Where(long, short)
 *                             -> Mul(position_ids) -> Cos, Sin
 *
 * In a row of many sequences, each sequence must choose for itself. What depends on the choice is
 * computed for every outcome, which costs little before the first layer, and each token takes the
 * outcome for its sequence's length, an input of the step. This length includes tokens of later
 * steps, so that all tokens of a sequence are computed alike. transformers recomputes everything
 * when a text grows beyond the original length, and so does the scheduler.
 *
 * How the graph chooses is found by running it: which tensors hold the length, and beyond which
 * lengths the results change. A choice that cannot be rewritten is left as it is; the row check
 * (`engine/runner/row-check`) finds it.
 *
 * @param servedLength longest sequence, in tokens; changes beyond it do not matter
 * @returns the lengths, rising, beyond which all tokens of a sequence are computed in another way
 */
export async function chooseForSequences(
  graph: Graph,
  sites: readonly RecognizedSite[],
  servedLength: number,
): Promise<readonly number[]> {
  const part = positionalPart(graph, sites);
  if (part.nodes.length === 0 || part.results.length === 0) return [];
  // A part that ONNX Runtime refuses to run alone is left as it is, too.
  const seen = await observe(graph, part, servedLength).catch(() => undefined);
  if (!seen) return [];
  const { lengths, results, switches, axes } = seen;
  const outside = graph.nodes.filter((node) => !node.output.some((o) => part.tensors.has(o)));
  const outcomes = [...switches, servedLength].map((limit) =>
    copyFor(graph, results, lengths, limit, limit === servedLength),
  );
  const made: NodeProto[] = outcomes.flatMap(({ nodes }) => nodes);
  const chosen = new Map<string, string>();
  for (const name of results) {
    const values = outcomes.map(({ nameOf }) => nameOf(name));
    const place = axes?.get(name);
    chosen.set(name, place ? choice(graph, name, values, switches, place, made) : values[0]);
  }
  for (const node of outside) {
    node.input.forEach((name, index) => {
      node.input[index] = chosen.get(name) ?? name;
    });
  }
  if (switches.length > 0) graph.addInput(STEP_INPUT.sequenceLengths, Type.INT64);
  graph.addNodes(...made);
  const who = lengths
    .map(({ name }) => graph.producer(name))
    .map((n) => `${n?.name} (${n?.opType})`);
  graph.rewrites.push(
    switches.length > 0
      ? `${who.join(', ')} chose for all sequences of a step at once: each chooses by its own length, at ${switches.join(', ')} tokens`
      : `${who.join(', ')} chooses by length: took what holds for up to ${servedLength} tokens (--max-model-len)`,
  );
  return switches;
}

interface Seen {
  readonly lengths: readonly LengthTensor[];
  readonly results: readonly string[];
  readonly switches: readonly number[];
  readonly axes: TokenAxes | undefined;
}

/** @returns undefined when nothing chooses by length, or in a way that cannot be rewritten */
async function observe(
  graph: Graph,
  part: PositionalPart,
  servedLength: number,
): Promise<Seen | undefined> {
  const probe = new Probe(graph);
  const lengths = await observeLengthTensors(probe, part, servedLength);
  const names = new Set(lengths.map(({ name }) => name));
  const results = part.results.filter((name) => dependsOn(graph, name, names));
  if (results.length === 0) return undefined;
  const switches = await observeSwitches(probe, results, lengths, servedLength);
  const axes = await observeTokenAxes(probe, results, lengths, servedLength);
  if (!switches || (switches.length > 0 && !axes)) return undefined;
  return { lengths, results, switches, axes };
}

function dependsOn(graph: Graph, tensor: string, lengths: ReadonlySet<string>): boolean {
  return sliceGraph(graph, [tensor], lengths).inputs.some((name) => lengths.has(name));
}

interface Outcome {
  readonly nodes: readonly NodeProto[];
  /** The copy's name for one of the results. */
  readonly nameOf: (result: string) => string;
}

/** Copies the nodes that compute the results, for sequences of one length. */
function copyFor(
  graph: Graph,
  results: readonly string[],
  lengths: readonly LengthTensor[],
  length: number,
  isLast: boolean,
): Outcome {
  const suffix = `octavo.length_${length}`;
  const cuts = new Set(lengths.map(({ name }) => name));
  const originals = sliceGraph(graph, results, cuts).nodes.filter((node) =>
    node.output.some((name) => name !== '' && !graph.isConstant(name)),
  );
  const names = new Map<string, string>();
  for (const name of originals.flatMap(({ output }) => output)) {
    if (name !== '') names.set(name, `${name}/${suffix}`);
  }
  for (const { name, type, dims, offset } of lengths) {
    const value = `${name}/${suffix}`;
    addScalar(graph, value, type, dims, length - 1 + offset);
    names.set(name, value);
  }
  const nodes: NodeProto[] = [];
  if (!isLast) {
    // Tokens of longer sequences are computed in vain; their positions must still be inside the
    // tables.
    names.set(STEP_INPUT.positionIds, within(graph, suffix, length, nodes));
  }
  for (const node of originals) {
    nodes.push(
      create(NodeProtoSchema, {
        ...node,
        name: `${node.name}/${suffix}`,
        input: node.input.map((name) => names.get(name) ?? name),
        output: node.output.map((name) => names.get(name) ?? name),
      }),
    );
  }
  return { nodes, nameOf: (result) => names.get(result) ?? result };
}

function within(graph: Graph, suffix: string, length: number, nodes: NodeProto[]): string {
  const at = (what: string): string => `${STEP_INPUT.positionIds}/${suffix}.${what}`;
  const positions = STEP_INPUT.positionIds;
  addScalar(graph, at('limit'), Type.INT64, [], length);
  addScalar(graph, at('last'), Type.INT64, [], length - 1);
  nodes.push(makeNode('Less', at('is_within'), [positions, at('limit')], [at('is_within')]));
  nodes.push(
    makeNode('Where', at('within'), [at('is_within'), positions, at('last')], [at('within')]),
  );
  return at('within');
}

/** Selects, for each token, the outcome for its sequence's length. */
function choice(
  graph: Graph,
  name: string,
  outcomes: readonly string[],
  switches: readonly number[],
  { axis, rank }: TokenAxis,
  made: NodeProto[],
): string {
  const shape = `octavo.tokens_${axis}_of_${rank}`;
  addInt64s(
    graph,
    shape,
    Array.from({ length: rank }, (_, i) => (i === axis ? -1 : 1)),
  );
  return switches.reduce((below, limit, i) => {
    const at = (what: string): string => `${name}/octavo.beyond_${limit}.${what}`;
    addScalar(graph, at('limit'), Type.INT64, [], limit);
    const lengths = STEP_INPUT.sequenceLengths;
    made.push(
      makeNode('Greater', at('row'), [lengths, at('limit')], [at('row')]),
      makeNode('Reshape', at('column'), [at('row'), shape], [at('column')]),
      makeNode('Where', at('chosen'), [at('column'), outcomes[i + 1], below], [at('chosen')]),
    );
    return at('chosen');
  }, outcomes[0]);
}

function addScalar(
  graph: Graph,
  name: string,
  dataType: Type,
  dims: readonly number[],
  value: number,
): void {
  const numbers =
    dataType === Type.FLOAT
      ? { floatData: [value] }
      : dataType === Type.INT32
        ? { int32Data: [value] }
        : { int64Data: [BigInt(value)] };
  graph.addInitializer(
    create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType, ...numbers }),
  );
}
