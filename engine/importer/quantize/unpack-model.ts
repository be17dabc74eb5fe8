import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import {
  type NodeProto,
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { formatOf, UNPACK, unpackingOf } from '../onnx/unpack-node.js';
import { byteLength, isExternal } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import { copyWeights } from './copy-weights.js';
import { denseSource, packedSource, packedTensors } from './packed-source.js';
import { type WeightsTarget, writeBlocked } from './packed-weight.js';
import { progressOf } from './progress.js';
import type { Activations } from './quantization.js';
import { replaceUnpacked, type WrittenWeight } from './replace-unpacked.js';
import { type Rewrite, rewriteModel } from './rewrite-model.js';
import { TensorBytes } from './stored-matrix.js';
import { readWidened, type WidenOptions, wideningOf } from './widen-model.js';
import { writeDense, writeInt8 } from './write-unpacked.js';

/** Part of every key: raise it whenever the rewriting changes. */
const PASS_VERSION = 3;

/** That activations are rounded, for users. */
export const ROUNDED_ACTIVATIONS =
  'matmuls of weights in blocks round activations to 8 bits (--activations exact does not)';

/** Whether a graph has weights that are packed. */
export function hasPacked(graph: Graph): boolean {
  return graph.nodes.some(({ opType }) => opType === UNPACK);
}

/**
 * Writes packed weights in a form that ONNX Runtime multiplies with, exactly: whole numbers of 4 or
 * 8 bits with a scale for each group, or int8; floats of 8 bits as float32. On the same way, other
 * weights of 16 bits are widened, as `widenModel` does.
 *
 * @param graph consumed
 * @param widen where unpacked weights are kept; undefined: in memory
 * @throws OctavoError `model_cache_unusable`, `model_file_corrupt`
 */
export async function unpackModel(
  graph: Graph,
  widen: WidenOptions | undefined,
  activations: Activations,
): Promise<Graph> {
  if (!widen) {
    graph.rewrites.push(...describeUnpacking(graph, activations));
    await unpackWeights(graph, memoryTarget(), activations, async () => undefined);
    return graph;
  }
  const name = { label: 'unpacked', salt: [PASS_VERSION, activations] };
  return rewriteModel(graph, widen.cacheDir, name, () => plan(graph, widen, activations));
}

/** Those that the graph's outputs depend on. */
function unpackNodes(graph: Graph): readonly NodeProto[] {
  return liveParts(graph).nodes.filter(({ opType }) => opType === UNPACK);
}

/** The graph of unpacked weights without what they hold: nothing of them is read. */
export async function sketchUnpacked(graph: Graph, activations: Activations): Promise<Graph> {
  graph.rewrites.push(...describeUnpacking(graph, activations));
  const target: WeightsTarget = {
    kept: () => null,
    add: async (name, dims, dataType) =>
      create(TensorProtoSchema, { name, dims: [...dims], dataType }),
  };
  await unpackWeights(graph, target, activations, async () => undefined);
  return graph;
}

/** What is unpacked, in words. */
function describeUnpacking(graph: Graph, activations: Activations): string[] {
  const counts = new Map<string, number>();
  const nodes = unpackNodes(graph);
  for (const node of nodes) counts.set(formatOf(node), (counts.get(formatOf(node)) ?? 0) + 1);
  if (nodes.length === 0) return [];
  const kinds = [...counts].map(([name, count]) => `${count} of ${name}`).join(', ');
  const lines = [`unpacked ${nodes.length} weights exactly: ${kinds}`];
  if (activations === 'int8') lines.push(ROUNDED_ACTIVATIONS);
  return lines;
}

/** How many weights are int8 that are multiplied with activations of 8 bits. */
export function packedInt8(graph: Graph): number {
  return graph.nodes.filter((node) => node.opType === UNPACK && formatOf(node) === 'w8a8').length;
}

/** The tensors that are unpacked. */
export function packedIn(graph: Graph): ReadonlySet<TensorProto> {
  const nodes = unpackNodes(graph);
  return new Set(nodes.flatMap((node) => packedTensors(graph, node)));
}

/** Writes all packed weights of a graph, and makes it read them. */
export async function unpackWeights(
  graph: Graph,
  target: WeightsTarget,
  activations: Activations,
  onPiece: (read: number) => Promise<void>,
): Promise<void> {
  const readers = readersOf(graph);
  const bytes = new TensorBytes(graph.file);
  const written = new Map<NodeProto, WrittenWeight>();
  try {
    for (const node of unpackNodes(graph)) {
      const isLookedUp = (readers.get(node.output[0]) ?? []).some(
        ({ opType }) => opType === 'Gather',
      );
      written.set(node, await writeUnpacked(graph, node, isLookedUp, bytes, target, onPiece));
    }
  } finally {
    bytes.close();
  }
  replaceUnpacked(graph, written, activations);
}

async function writeUnpacked(
  graph: Graph,
  node: NodeProto,
  isLookedUp: boolean,
  bytes: TensorBytes,
  target: WeightsTarget,
  onPiece: (read: number) => Promise<void>,
): Promise<WrittenWeight> {
  const [name] = node.output;
  const unpacking = unpackingOf(node);
  if (unpacking.kind === 'composed' && unpacking.format === 'fp8') {
    const matrix = denseSource(graph, node, bytes);
    return { kind: 'dense', tensor: await writeDense(name, matrix, target, onPiece) };
  }
  const matrix = packedSource(graph, node, bytes);
  if (unpacking.kind === 'composed' && unpacking.format === 'w8a8' && !isLookedUp) {
    return { kind: 'int8', ...(await writeInt8(name, matrix, target, onPiece)) };
  }
  return { kind: 'blocked', ...(await writeBlocked(name, matrix, target, onPiece)) };
}

function plan(
  graph: Graph,
  { onProgress = () => undefined }: WidenOptions,
  activations: Activations,
): Rewrite {
  const packed = packedIn(graph);
  const widening = wideningOf(graph);
  const all = liveParts(graph).initializers.filter(isExternal);
  const total = all.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const isFp8 = [...packed].some(({ dataType }) => dataType === Type.FLOAT8E4M3FN);
  const progress = progressOf(onProgress, 'unpacking weights', total);
  return {
    // A scale of four bytes comes to each group of 16 numbers or more; 17 bytes of MXFP4 become 36.
    bytes: (isFp8 ? 4 : 2.2) * total,
    rewrites: describeUnpacking(graph, activations),
    convert: async (target) => {
      const others = all.filter((tensor) => !packed.has(tensor));
      await copyWeights(graph.file, others, widening.narrow, target, progress);
      readWidened(graph, widening);
      await unpackWeights(graph, target, activations, progress);
    },
  };
}

/** Keeps weights in the graph itself. */
function memoryTarget(): WeightsTarget {
  return {
    kept: () => null,
    add: async (name: string, dims: readonly bigint[], dataType: Type, pieces) => {
      const parts: Uint8Array[] = [];
      for await (const piece of pieces) parts.push(piece);
      const rawData = new Uint8Array(Buffer.concat(parts));
      return create(TensorProtoSchema, { name, dims: [...dims], dataType, rawData });
    },
  };
}
