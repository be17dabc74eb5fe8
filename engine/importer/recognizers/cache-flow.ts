import { type Graph, intAttribute, shapeOf } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import { readersOf } from '../readers.js';

/**
 * Past and fresh keys, or values, where they are joined: by Concat along the tokens, or by an
 * attention node that gives its present.
 */
export interface JoinedCache {
  /** Input of the graph. */
  readonly past: string;
  readonly fresh: string;
  readonly joined: string;
}

/** What moves numbers without changing them, or repeats the heads of a group. */
export const MOVES = new Set([
  'Transpose',
  'Reshape',
  'Expand',
  'Unsqueeze',
  'Squeeze',
  'Cast',
  'Identity',
]);

/** Who reads what, and where caches join the step, in one graph. */
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

  /** True for keys or values that a Concat of past and fresh ones makes. */
  joins(tensor: string): boolean {
    return this.#joins.has(tensor);
  }

  /**
   * The cache of an attention node's keys or values, an input of the graph: the node joins it with
   * `fresh` itself, or it was joined before.
   *
   * @param past the node's own input; '' without
   */
  cacheOf(past: string, fresh: string): JoinedCache | undefined {
    const cache = past ? { past, fresh, joined: '' } : this.cacheBehind(fresh);
    return cache && this.graph.inputs.has(cache.past) ? cache : undefined;
  }

  /**
   * The cache that a tensor holds the keys or values of, if between them nothing but moves and
   * factors lies.
   *
   * @param onFactor is told what multiplies or divides; without it, factors are not expected
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

  /** For a product or quotient of an activation and one number. */
  factorOf(node: NodeProto): { value: string; factor: string; divides: boolean } | undefined {
    const divides = node.opType === 'Div';
    if (!divides && node.opType !== 'Mul') return undefined;
    const [a, b] = node.input;
    if (this.#isNumber(b)) return { value: a, factor: b, divides };
    if (!divides && this.#isNumber(a)) return { value: b, factor: a, divides };
    return undefined;
  }

  /** True when no activation takes part in a tensor, unless by its shape. */
  #isNumber(tensor: string): boolean {
    const open = new Set([tensor]);
    for (const name of open) {
      if (name === '' || this.graph.isConstant(name)) continue;
      const node = this.graph.producer(name);
      if (!node) return false;
      if (node.opType === 'Shape' || node.opType === 'Size') continue;
      // A set grows while it is iterated.
      for (const input of node.input) open.add(input);
    }
    return true;
  }
}

/** Concat(past, fresh) along the tokens, with a past that comes from outside. */
export function joinOf(graph: Graph, node: NodeProto): JoinedCache | undefined {
  if (node.opType !== 'Concat' || node.input.length !== 2) return undefined;
  const [joined, fresh] = node.input;
  // Files of float16 with inputs of float32 convert the past first.
  const cast = graph.producer(joined);
  const past = cast?.opType === 'Cast' ? cast.input[0] : joined;
  const shape = shapeOf(graph.inputs.get(past));
  const axis = intAttribute(node, 'axis', 0);
  if (shape?.length !== 4 || (axis !== 2 && axis !== -2)) return undefined;
  return { past, fresh, joined: node.output[0] };
}

/**
 * Inputs and outputs by position of past keys, fresh keys and present keys; those of values stand
 * behind each.
 */
const PLACES: Readonly<Record<string, readonly [past: number, fresh: number]>> = {
  Attention: [4, 1],
  MultiHeadAttention: [6, 1],
};

/** What an attention node gives to later ones that read its cache. */
function presentsOf({ opType, input, output }: NodeProto): JoinedCache[] {
  const [past, fresh] = PLACES[opType] ?? [];
  if (past === undefined || fresh === undefined) return [];
  return [0, 1].flatMap((value) => {
    const joined = output[1 + value];
    if (!input[past + value] || !joined) return [];
    return [{ past: input[past + value], fresh: input[fresh + value], joined }];
  });
}
