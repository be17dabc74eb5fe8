import type { Graph } from '../graph.js';
import { readersOf, replaceInput } from '../graph-queries.js';
import { intAttribute } from '../onnx/nodes.js';
import { type NodeProto, type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { byteLength, isExternal } from '../tensor-data.js';
import { liveParts } from '../write-model.js';
import { copyWeights } from './copy-weights.js';
import { type ConversionProgress, progressOf } from './progress.js';
import { type Rewrite, rewriteModel } from './rewrite-model.js';

/** Part of every key: raise it whenever the rewriting changes. */
const PASS_VERSION = 1;

export interface WidenOptions {
  /** Directory of rewritten models. */
  readonly cacheDir: string;
  /** Called while weights are converted; not called when the cache has them. */
  readonly onProgress?: ConversionProgress;
}

/**
 * Keeps weights of float16 and bfloat16 as float32 on disk, where the graph widens them: the CPU
 * kernels of ONNX Runtime take float32 only, and a session would widen them again at each start, in
 * memory. Tables of which only rows are looked up stay as they are. Memory holds a few pieces at a
 * time.
 *
 * @param graph consumed
 * @returns the rewritten graph, whose files are in the cache; the same graph when there is nothing
 *   to widen
 * @throws OctavoError `model_cache_unusable`
 */
export function widenModel(graph: Graph, options: WidenOptions): Promise<Graph> {
  const widening = wideningOf(graph);
  if (widening.casts.length === 0) return Promise.resolve(graph);
  const name = { label: 'float32', salt: [PASS_VERSION] };
  return rewriteModel(graph, options.cacheDir, name, () => plan(graph, widening, options));
}

/** Weights that a graph widens, and how. */
export interface Widening {
  /** Casts of whole weights. */
  readonly casts: readonly NodeProto[];
  /** What they read. */
  readonly narrow: ReadonlySet<TensorProto>;
}

export function wideningOf(graph: Graph): Widening {
  const narrow = new Set<TensorProto>();
  const casts = graph.nodes.filter((node) => {
    if (node.opType !== 'Cast' || intAttribute(node, 'to', 0) !== Type.FLOAT) return false;
    const weight = graph.initializer(node.input[0]);
    const isNarrow = weight?.dataType === Type.FLOAT16 || weight?.dataType === Type.BFLOAT16;
    if (!isNarrow || !isExternal(weight)) return false;
    narrow.add(weight);
    return true;
  });
  return { casts, narrow };
}

function plan(
  graph: Graph,
  widening: Widening,
  { onProgress = () => undefined }: WidenOptions,
): Rewrite {
  const { narrow } = widening;
  const total = [...narrow].reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const all = liveParts(graph).initializers.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  return {
    bytes: all + total,
    rewrites: [
      `widened ${narrow.size} weights to float32, ${(total / 2e6).toFixed(1)} million numbers`,
    ],
    convert: async (target) => {
      const external = liveParts(graph).initializers.filter(isExternal);
      const progress = progressOf(onProgress, 'widening weights to float32', total);
      await copyWeights(graph.file, external, narrow, target, async (read, tensor) => {
        if (narrow.has(tensor)) await progress(read);
      });
      readWidened(graph, widening);
    },
  };
}

/**
 * Readers of a cast read the weight, which is float32 now; so are rows that are looked up in it.
 */
export function readWidened(graph: Graph, { casts, narrow }: Widening): void {
  const readers = readersOf(graph);
  const gone = [...casts];
  for (const { output, input } of casts) replaceInput(readers.get(output[0]), output[0], input[0]);
  for (const node of graph.nodes) {
    if (node.opType !== 'Cast' || intAttribute(node, 'to', 0) !== Type.FLOAT) continue;
    const lookup = graph.producer(node.input[0]);
    const table = lookup?.opType === 'Gather' ? graph.initializer(lookup.input[0]) : undefined;
    if (!table || !narrow.has(table)) continue;
    replaceInput(readers.get(node.output[0]), node.output[0], node.input[0]);
    gone.push(node);
  }
  graph.removeNodes(...gone);
}
