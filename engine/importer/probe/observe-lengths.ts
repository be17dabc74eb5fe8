import { createHash } from 'node:crypto';
import type { Tensor } from 'onnxruntime-node';
import { elementTypes } from '../element-types.js';
import { STEP_INPUT } from '../imported-model.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import type { PositionalPart } from '../positional-part.js';
import { byteLength } from '../tensor-data.js';
import { filled, type Probe, type ProbeStep } from './probe.js';
import { sliceGraph } from './subgraph.js';

/**
 * A tensor of one number that, in a step of one sequence, is the position of its last token plus a
 * constant.
 */
export interface LengthTensor {
  readonly name: string;
  readonly type: Type;
  readonly dims: readonly number[];
  /** The constant. */
  readonly offset: number;
}

const NUMBERS = new Set<number>([Type.INT64, Type.INT32, Type.FLOAT]);
/** Lengths are computed from positions with few constants; tables are used later. */
const MOST_CONSTANTS = 2 ** 16;

/**
 * The first tensors of the positional part that hold the length of a sequence; tensors computed
 * from them hold it, too.
 *
 * @param servedLength longest sequence, in tokens
 */
export async function observeLengthTensors(
  probe: Probe,
  part: PositionalPart,
  servedLength: number,
): Promise<LengthTensor[]> {
  const types = elementTypes(probe.graph);
  const candidates = part.nodes
    .flatMap(({ output }) => output.filter((name) => name !== ''))
    .filter((name) => NUMBERS.has(types.get(name) ?? 0) && isCheap(probe, name));
  if (candidates.length === 0 || servedLength < 16) return [];
  const steps: ProbeStep[] = [
    { past: 6, length: 5 },
    { past: 9, length: 5 },
    { past: 6, length: 4 },
    { past: servedLength - 4, length: 4 },
  ];
  const results = await probe.run(candidates, steps, () => new Map());
  const found: LengthTensor[] = [];
  const made = new Set<string>();
  for (const node of part.nodes) {
    if (node.input.some((name) => made.has(name))) {
      for (const name of node.output) made.add(name);
      continue;
    }
    for (const name of node.output.filter((output) => candidates.includes(output))) {
      const seen = results.map((result) => result.get(name));
      const offset = constantOffset(seen, steps);
      if (offset === undefined) continue;
      made.add(name);
      found.push({ name, type: types.get(name) as Type, dims: seen[0]?.dims ?? [], offset });
    }
  }
  return found;
}

function isCheap({ graph }: Probe, tensor: string): boolean {
  const { nodes } = sliceGraph(graph, [tensor], new Set());
  const names = new Set(nodes.flatMap(({ input }) => input));
  const bytes = [...names]
    .map((name) => graph.initializer(name))
    .map((t) => (t ? byteLength(t) : 0));
  return bytes.reduce((a, b) => a + b, 0) <= MOST_CONSTANTS;
}

function constantOffset(
  seen: readonly (Tensor | undefined)[],
  steps: readonly ProbeStep[],
): number | undefined {
  const offsets = seen.map((tensor, i) => {
    const last = steps[i].past + steps[i].length - 1;
    return tensor?.size === 1 ? Number(tensor.data[0]) - last : Number.NaN;
  });
  return offsets.every((offset) => offset === offsets[0]) ? offsets[0] : undefined;
}

/**
 * At most this many switches are supported. A model with more changes with every token, as dynamic
 * NTK does.
 */
const MOST_SWITCHES = 4;
/**
 * Lengths that are tried between two whose results differ: three rounds find one length among
 * 32,768.
 */
const POINTS = 31;
const POSITIONS = [0, 1, 2, 3];

/**
 * The lengths beyond which the results change although the positions are the same.
 *
 * @returns lengths, rising; undefined when there are more than MOST_SWITCHES
 */
export async function observeSwitches(
  probe: Probe,
  results: readonly string[],
  lengths: readonly LengthTensor[],
  servedLength: number,
): Promise<number[] | undefined> {
  const known = new Map<number, string>();
  let open = [servedLength];
  for (let length = POSITIONS.length; length < servedLength; length *= 2) open.push(length);
  while (open.length > 0) {
    const signatures = await observe(probe, results, lengths, open);
    for (const [i, length] of open.entries()) known.set(length, signatures[i]);
    const sorted = [...known.keys()].sort((a, b) => a - b);
    const changes = sorted.filter((l, i) => i > 0 && known.get(l) !== known.get(sorted[i - 1]));
    if (changes.length > MOST_SWITCHES) return undefined;
    open = changes.flatMap((to) => between(sorted[sorted.indexOf(to) - 1], to));
    if (open.length === 0) return changes.map((length) => length - 1);
  }
  return [];
}

function between(from: number, to: number): number[] {
  const step = Math.max(1, Math.ceil((to - from) / (POINTS + 1)));
  const points: number[] = [];
  for (let point = from + step; point < to; point += step) points.push(point);
  return points;
}

/** A digest of all results for each length. */
async function observe(
  probe: Probe,
  names: readonly string[],
  lengths: readonly LengthTensor[],
  served: readonly number[],
): Promise<string[]> {
  const steps = served.map((length) => ({ past: length - 1, length: 1 }));
  const seen = await probe.run(names, steps, ({ past }) =>
    fed(POSITIONS.length, lengths, past + 1),
  );
  return seen.map((result) => {
    const digest = createHash('sha256');
    for (const name of names) digest.update(bytesOf(result.get(name)));
    return digest.digest('base64');
  });
}

/** The axis of a tensor along which its tokens are. */
export interface TokenAxis {
  readonly axis: number;
  readonly rank: number;
}
export type TokenAxes = ReadonlyMap<string, TokenAxis>;

/** The token axis of each result; undefined when a result has none. */
export async function observeTokenAxes(
  probe: Probe,
  results: readonly string[],
  lengths: readonly LengthTensor[],
  servedLength: number,
): Promise<TokenAxes | undefined> {
  const counts = [5, 7];
  const steps = counts.map((length) => ({ past: 0, length }));
  const seen = await probe.run(results, steps, ({ length }) => fed(length, lengths, servedLength));
  const axes = new Map<string, TokenAxis>();
  for (const name of results) {
    const [a, b] = seen.map((result) => result.get(name)?.dims ?? []);
    const changed = a.flatMap((size, axis) => (size === b[axis] ? [] : [axis]));
    const [axis] = changed;
    if (changed.length !== 1 || a[axis] !== counts[0] || b[axis] !== counts[1]) return undefined;
    axes.set(name, { axis, rank: a.length });
  }
  return axes;
}

function fed(
  count: number,
  lengths: readonly LengthTensor[],
  length: number,
): ReadonlyMap<string, Tensor> {
  const positions = filled(Type.INT64, [1, count], (i) => i);
  const tensors = lengths.map(({ name, type, dims, offset }): [string, Tensor] => [
    name,
    filled(type, dims, () => length - 1 + offset),
  ]);
  return new Map([[STEP_INPUT.positionIds, positions], ...tensors]);
}

function bytesOf(tensor: Tensor | undefined): Uint8Array {
  const data = tensor?.data;
  if (!ArrayBuffer.isView(data)) throw new Error('a result without numbers');
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
