import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ImportedModel, Segment } from '../../importer/imported-model.js';
import {
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  ValueInfoProtoSchema,
} from '../../importer/onnx/onnx_pb.js';
import { createSession, type SessionContext } from '../segment-session.js';
import type { Observation, SegmentRun } from './observe-rows.js';
import { difference, takeRows, tokenPlace } from './token-rows.js';

/** Where rows of other sequences affect the result. */
export interface Mixer {
  /** A node whose output differs although its inputs do not. */
  readonly node: NodeProto;
  /**
   * The first node whose rows of the observed sequence differ: the same node, or one that reads the
   * output of `node`.
   */
  readonly victim: NodeProto;
}

/**
 * Runs a segment again, node by node as written, and finds where a difference begins.
 *
 * @param tolerance smallest difference that counts
 * @returns null when no node shows it, for instance when only a fused form of several nodes mixes
 *   rows
 */
export async function findMixer(
  model: Pick<ImportedModel, 'segments'> & SessionContext,
  seen: Observation,
  tolerance: number,
): Promise<Mixer | null> {
  const { index, model: bytes } = model.segments[seen.segment];
  const proto = fromBinary(ModelProtoSchema, bytes);
  const nodes = proto.graph?.node ?? [];
  giveAll(proto, nodes);
  const session = await createSession(
    { index, model: toBinary(ModelProtoSchema, proto) },
    model,
    1,
    { asWritten: true },
  );
  try {
    const changes = await changesIn(session, seen);
    const victim = nodes.find(({ output }) =>
      output.some((name) => changes.inRows(name) > tolerance),
    );
    if (!victim) return null;
    // (Sizes differ when a sequence is alone, which is not an error.)
    if (seen.comparison === 'alone') return { node: victim, victim };
    return { node: origin(model.segments, victim, nodes, seen.segment, changes), victim };
  } finally {
    await session.release();
  }
}

/** Makes all tensors outputs; ONNX Runtime infers their types. */
function giveAll(proto: ModelProto, nodes: readonly NodeProto[]): void {
  const stated = new Set(proto.graph?.output.map(({ name }) => name));
  const names = nodes.flatMap(({ output }) => output.filter((name) => name !== ''));
  const missing = names.filter((name) => !stated.has(name));
  proto.graph?.output.push(...missing.map((name) => create(ValueInfoProtoSchema, { name })));
}

/** How much a tensor changes with the other sequences; 0 when unknown. */
interface Changes {
  /** In the rows of the observed sequence. */
  readonly inRows: (tensor: string) => number;
  /** In a tensor that has no rows. */
  readonly shared: (tensor: string) => number;
}

async function changesIn(
  session: InferenceSession,
  { comparison, inputs: { base, other, alone } }: Observation,
): Promise<Changes> {
  const run = async ({ inputs }: SegmentRun): Promise<ReadonlyMap<string, Tensor>> =>
    new Map([...inputs, ...Object.entries(await session.run(Object.fromEntries(inputs)))]);
  const [whole, short] = [await run(base), await run(alone)];
  const compared = comparison === 'alone' ? alone : other;
  const second = comparison === 'alone' ? short : await run(other);
  const change = (name: string, hasRows: boolean): number => {
    const [a, b, c] = [whole.get(name), short.get(name), second.get(name)];
    if (!a || !b || !c) return 0;
    const place = tokenPlace(a.dims, base.company.rows.total, b.dims, alone.company.rows.total);
    if (place === undefined || (place !== null) !== hasRows) return 0;
    if (place === null) return difference(a, c);
    return difference(
      takeRows(a, place, base.company.rows),
      takeRows(c, place, compared.company.rows),
    );
  };
  return { inRows: (name) => change(name, true), shared: (name) => change(name, false) };
}

/**
 * Goes back through tensors that change but have no rows, such as the largest position of a step,
 * to the node that computes them.
 */
function origin(
  segments: readonly Segment[],
  victim: NodeProto,
  nodes: readonly NodeProto[],
  segment: number,
  { shared }: Changes,
): NodeProto {
  let node = victim;
  for (;;) {
    const tensor = node.input.find((name) => shared(name) > 0);
    if (tensor === undefined) return node;
    const maker = nodes.find(({ output }) => output.includes(tensor));
    if (!maker) return makerBefore(segments.slice(0, segment), tensor) ?? node;
    node = maker;
  }
}

/**
 * The first node of a tensor that an earlier segment computes: back to the step's inputs, if they
 * are read there.
 */
function makerBefore(segments: readonly Segment[], tensor: string): NodeProto | undefined {
  const source = segments.find(({ outputs }) => outputs.includes(tensor));
  const nodes = source ? (fromBinary(ModelProtoSchema, source.model).graph?.node ?? []) : [];
  let found: NodeProto | undefined;
  let open: readonly string[] = [tensor];
  for (;;) {
    const maker = nodes.find(
      ({ input, output }) => input.length > 0 && open.some((name) => output.includes(name)),
    );
    if (!maker) return found;
    found = maker;
    open = maker.input;
  }
}
