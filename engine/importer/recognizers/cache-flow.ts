import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import { intAttribute, shapeOf } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/**
 * Past and fresh keys, or values, that are joined by a Concat along the tokens, or by an attention
 * node that outputs its present.
 */
export interface JoinedCache {
  /** Input of the graph. */
  readonly past: string;
  readonly fresh: string;
  readonly joined: string;
}

/** Operators that move numbers without changing them, or repeat the heads of a group. */
export const MOVES = new Set([
  'Transpose',
  'Reshape',
  'Expand',
  'Unsqueeze',
  'Squeeze',
  'Cast',
  'Identity',
]);

/** Follows tensors through one graph: their readers, and where caches join the step. */
export class CacheFlow {
  readonly graph: Graph;
  readonly #readers: ReadonlyMap<string, readonly NodeProto[]>;
  readonly #joins = new Map<string, JoinedCache>();

  constructor(graph: Graph) {
    this.graph = graph;
    this.#readers = readersOf(graph);
    for (const node of graph.nodes) {
      const join = joinOf(graph, node);
      for (const each of join ? [join] : presentsOf(node)) this.#joins.set(each.joined, each);
    }
  }

  consumers(tensor: string): readonly NodeProto[] {
    return this.#readers.get(tensor) ?? [];
  }

  /** True for keys or values that are the output of a Concat of past and fresh ones. */
  joins(tensor: string): boolean {
    return this.#joins.has(tensor);
  }

  /**
   * The cache of an attention node's keys or values, an input of the graph: the node joins it with
   * `fresh` itself, or it was joined before.
   *
   * @param past the node's own input; '' when absent
   */
  cacheOf(past: string, fresh: string): JoinedCache | undefined {
    const cache = past ? { past, fresh, joined: '' } : this.cacheBehind(fresh);
    return cache && this.graph.inputs.has(cache.past) ? cache : undefined;
  }

  /**
   * The cache whose keys or values a tensor holds, if only moves and factors are in between.
   *
   * @param onFactor receives each factor; when absent, a factor ends the search
   */
  cacheBehind(
    tensor: string,
    onFactor?: (node: NodeProto, factor: string) => void,
  ): JoinedCache | undefined {
    let name = tensor;
    for (;;) {
      const join = this.#joins.get(name);
      if (join) return join;
      const node = this.graph.producer(name);
      if (!node) return undefined;
      if (MOVES.has(node.opType)) {
        name = node.input[0];
        continue;
      }
      const split = onFactor ? this.factorOf(node) : undefined;
      if (!split) return undefined;
      onFactor?.(node, split.factor);
      name = split.value;
    }
  }

  /** Parts of a product or quotient of an activation and one number. */
  factorOf(node: NodeProto): { value: string; factor: string; divides: boolean } | undefined {
    const divides = node.opType === 'Div';
    if (!divides && node.opType !== 'Mul') return undefined;
    const [a, b] = node.input;
    if (this.#isNumber(b)) return { value: a, factor: b, divides };
    if (!divides && this.#isNumber(a)) return { value: b, factor: a, divides };
    return undefined;
  }

  /** True when a tensor depends on no activation, except on shapes. */
  #isNumber(tensor: string): boolean {
    const open = new Set([tensor]);
    for (const name of open) {
      if (name === '' || this.graph.isConstant(name)) continue;
      const node = this.graph.producer(name);
      if (!node) return false;
      if (node.opType === 'Shape' || node.opType === 'Size') continue;
      // A Set may grow while it is iterated.
      for (const input of node.input) open.add(input);
    }
    return true;
  }
}

/** Recognizes Concat(past, fresh) along the tokens, where the past is an input of the graph. */
export function joinOf(graph: Graph, node: NodeProto): JoinedCache | undefined {
  if (node.opType !== 'Concat' || node.input.length !== 2) return undefined;
  const [joined, fresh] = node.input;
  // float16 files with float32 inputs convert the past first.
  const cast = graph.producer(joined);
  const past = cast?.opType === 'Cast' ? cast.input[0] : joined;
  const shape = shapeOf(graph.inputs.get(past));
  const axis = intAttribute(node, 'axis', 0);
  if (shape?.length !== 4 || (axis !== 2 && axis !== -2)) return undefined;
  return { past, fresh, joined: node.output[0] };
}

/**
 * Positions of past keys and fresh keys among an operator's inputs; those of the values follow
 * each.
 */
const PLACES: Readonly<Record<string, readonly [past: number, fresh: number]>> = {
  Attention: [4, 1],
  MultiHeadAttention: [6, 1],
};

/** Outputs of an attention node for later nodes that read its cache. */
function presentsOf({ opType, input, output }: NodeProto): JoinedCache[] {
  const [past, fresh] = PLACES[opType] ?? [];
  if (past === undefined || fresh === undefined) return [];
  return [0, 1].flatMap((value) => {
    const joined = output[1 + value];
    if (!input[past + value] || !joined) return [];
    return [{ past: input[past + value], fresh: input[fresh + value], joined }];
  });
}
