import type { Graph } from '../graph.js';
import { PACKED_MATMULS, readersOf } from '../graph-queries.js';
import type { AdapterTarget } from '../imported-model.js';
import { matrixSizes } from '../matrix-sizes.js';
import { floatAttribute, intAttribute } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

const MATMULS: ReadonlySet<string> = new Set(['MatMul', 'Gemm', ...PACKED_MATMULS]);

/**
 * A module inside of a layer, in a name of a node or weight with dots for slashes:
 * `model.layers.0.self_attn.q_proj`, followed by what the exporter appends; `[first:end]` for some
 * rows of its weight.
 */
const MODULE =
  /(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+?)(?:\.(?:MatMul|Gemm|weight)[^.]*)*(?:\[(\d+):\d+\])?$/;

/**
 * Finds the matmuls of layers, by the names of their nodes or weights: those that an adapter may
 * change. Experts are left out, whose rows are not those of the step; so are the LM head, and
 * matrices that a layer multiplies more than once (Gemma 3n's router of streams).
 *
 * Call it before weights are rewritten: activations and results keep their names, matmuls do not.
 */
export function findAdapterTargets(graph: Graph): AdapterTarget[] {
  const readers = readersOf(graph);
  const found = graph.nodes.flatMap((node): Target[] => {
    if (!MATMULS.has(node.opType) || graph.isConstant(node.input[0])) return [];
    if (!graph.isConstant(node.input[1])) return [];
    const module = moduleOf(node);
    const sizes = sizesOf(graph, node);
    if (!module || !sizes || module.path.includes('experts')) return [];
    const [inputs, outputs] = sizes;
    const output = biased(graph, node, readers);
    const target = { ...module, activation: node.input[0], output, inputs, outputs };
    return [{ target, place: `${module.layer} ${node.input[1]}` }];
  });
  const counts = new Map<string, number>();
  for (const { place } of found) counts.set(place, (counts.get(place) ?? 0) + 1);
  return found.flatMap(({ target, place }) => (counts.get(place) === 1 ? [target] : []));
}

interface Target {
  readonly target: AdapterTarget;
  /** Its layer and its matrix. */
  readonly place: string;
}

type Module = Pick<AdapterTarget, 'layer' | 'path' | 'firstRow' | 'parts'>;

function moduleOf(node: NodeProto): Module | undefined {
  for (const name of [node.name, node.input[1]]) {
    const match = MODULE.exec(name.replaceAll('/', '.'));
    if (!match) continue;
    const [, layer, path, firstRow = '0'] = match;
    // Exporters join queries, keys and values.
    const parts = path.endsWith('qkv_proj') && match[3] === undefined ? 3 : 1;
    return { layer: Number(layer), path, firstRow: Number(firstRow), parts };
  }
  return undefined;
}

/** Inputs and outputs; undefined for a product that is more than that of a matrix. */
function sizesOf(graph: Graph, node: NodeProto): readonly [number, number] | undefined {
  if (PACKED_MATMULS.has(node.opType)) {
    return [intAttribute(node, 'K', 0), intAttribute(node, 'N', 0)];
  }
  const sizes = matrixSizes(graph, node.input[1]);
  if (node.opType !== 'Gemm' || !sizes) return sizes;
  if (floatAttribute(node, 'alpha', 1) !== 1 || intAttribute(node, 'transA', 0) === 1) {
    return undefined;
  }
  return intAttribute(node, 'transB', 0) === 1 ? [sizes[1], sizes[0]] : sizes;
}

/** The result with the bias: ONNX Runtime joins its addition with the matmul, and still may. */
function biased(
  graph: Graph,
  { output: [product] }: NodeProto,
  readers: ReadonlyMap<string, readonly NodeProto[]>,
): string {
  const [next, ...others] = readers.get(product) ?? [];
  if (next?.opType !== 'Add' || others.length > 0 || graph.outputs.has(product)) return product;
  const isBias = next.input.every((name) => name === product || graph.isConstant(name));
  return isBias ? next.output[0] : product;
}
