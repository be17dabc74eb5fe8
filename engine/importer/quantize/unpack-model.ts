import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import {
  type NodeProto,
  type TensorProto,
  TensorProtoSchema,
  type TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { UNPACK, unpackedSizes } from '../onnx/unpack-node.js';
import { byteLength, isExternal } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import { copyWeights } from './copy-weights.js';
import { type BlockedWeight, type WeightsTarget, writeBlocked } from './packed-weight.js';
import { progressOf } from './progress.js';
import { replaceUnpacked } from './replace-unpacked.js';
import { type Rewrite, rewriteModel } from './rewrite-model.js';
import { TensorBytes } from './stored-matrix.js';
import { readWidened, type WidenOptions, wideningOf } from './widen-model.js';

/** Part of every key: raise it whenever the rewriting changes. */
const PASS_VERSION = 1;

export interface UnpackOptions {
  /** Where unpacked weights are kept; absent: in memory. */
  readonly widen: WidenOptions | undefined;
  /** Whether W8A8 follows, which takes zero points. */
  readonly hasZeroPoints: boolean;
}

/** Whether a graph has weights that are packed in blocks. */
export function hasPacked(graph: Graph): boolean {
  return graph.nodes.some(({ opType }) => opType === UNPACK);
}

/**
 * Writes packed weights in a form that ONNX Runtime multiplies with, exactly: whole numbers of 4 or
 * 8 bits with a scale for each group. On the same way, other weights of 16 bits are widened, as
 * `widenModel` does.
 *
 * @param graph consumed
 * @throws OctavoError `model_cache_unusable`
 */
export async function unpackModel(
  graph: Graph,
  { widen, hasZeroPoints }: UnpackOptions,
): Promise<Graph> {
  if (!widen) {
    const { report, convert } = unpackingOf(graph, hasZeroPoints);
    graph.rewrites.push(report);
    await convert(memoryTarget(), async () => undefined);
    return graph;
  }
  const name = { label: 'unpacked', salt: [PASS_VERSION, hasZeroPoints] };
  return rewriteModel(graph, widen.cacheDir, name, () => plan(graph, hasZeroPoints, widen));
}

interface Unpacking {
  readonly report: string;
  readonly packed: ReadonlySet<TensorProto>;
  /** Writes the packed weights, and makes the graph read them. */
  readonly convert: (
    target: WeightsTarget,
    onPiece: (read: number) => Promise<void>,
  ) => Promise<void>;
}

function unpackingOf(graph: Graph, hasZeroPoints: boolean): Unpacking {
  const nodes = graph.nodes.filter(({ opType }) => opType === UNPACK);
  const weights = nodes.map((node) => ({ node, tensor: packedOf(graph, node) }));
  const counts = new Map<string, number>();
  for (const { node } of weights) {
    const { name } = unpackedSizes(node).format;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const kinds = [...counts].map(([name, count]) => `${count} of ${name}`).join(', ');
  return {
    report: `unpacked ${weights.length} weights exactly, as numbers of 4 or 8 bits with scales: ${kinds}`,
    packed: new Set(weights.map(({ tensor }) => tensor)),
    convert: async (target, onPiece) => {
      const bytes = new TensorBytes(graph.file);
      const written = new Map<NodeProto, BlockedWeight>();
      try {
        for (const { node, tensor } of weights) {
          const sizes = unpackedSizes(node);
          written.set(
            node,
            await writeBlocked(tensor, sizes, hasZeroPoints, bytes, target, onPiece),
          );
        }
      } finally {
        bytes.close();
      }
      replaceUnpacked(graph, written, hasZeroPoints);
    },
  };
}

function packedOf(graph: Graph, node: NodeProto): TensorProto {
  const tensor = graph.initializer(node.input[0]);
  if (!tensor) throw new Error(`node ${node.name} unpacks no weight`);
  return tensor;
}

function plan(
  graph: Graph,
  hasZeroPoints: boolean,
  { onProgress = () => undefined }: WidenOptions,
): Rewrite {
  const { report, packed, convert } = unpackingOf(graph, hasZeroPoints);
  const widening = wideningOf(graph);
  const all = liveParts(graph).initializers.filter(isExternal);
  const total = all.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const progress = progressOf(onProgress, total);
  return {
    // A scale of four bytes comes to each group of 16 numbers or more.
    bytes: 2 * total,
    rewrites: [report],
    convert: async (target) => {
      const others = all.filter((tensor) => !packed.has(tensor));
      await copyWeights(graph.file, others, widening.narrow, target, progress);
      readWidened(graph, widening);
      await convert(target, progress);
    },
  };
}

/** Keeps weights in the graph itself. */
function memoryTarget(): WeightsTarget {
  return {
    add: async (name: string, dims: readonly bigint[], dataType: Type, pieces) => {
      const parts: Uint8Array[] = [];
      for await (const piece of pieces) parts.push(piece);
      const rawData = new Uint8Array(Buffer.concat(parts));
      return create(TensorProtoSchema, { name, dims: [...dims], dataType, rawData });
    },
  };
}
