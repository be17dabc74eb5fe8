import { OctavoError } from '../../errors.js';
import { BUILDER_ADVICE, EXPORT_ADVICE } from '../advice.js';
import type { Graph } from '../graph.js';
import { PACKED_MATMULS } from '../graph-queries.js';
import { intAttribute } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { Factor, SiteCandidate } from '../site-candidate.js';
import type { CacheFlow, JoinedCache } from './cache-flow.js';
import { headCount } from './head-count.js';
import { guardsBehind } from './row-guards.js';

const FORM = 'decomposed';

/**
 * Operators besides factors that may be between the scores and the softmax; the probe finds out
 * what they do.
 */
const ON_SCORES = new Set(['Add', 'Sub', 'Where', 'Max', 'Clip', 'Reshape', 'Cast', 'Identity']);
const MATMULS = new Set(['MatMul', 'Gemm', 'MatMulInteger', ...PACKED_MATMULS]);
/** Operators that may be between the softmax and the values. */
const ON_WEIGHTS = new Set(['Cast', 'Identity', 'Dropout', 'Reshape', 'Where', 'IsNaN']);

/**
 * Attention in primitive operators, as Optimum and torch's exporters write it:
 *
 *     past, fresh keys -> Concat -> (repeat) -> \
 *     queries -> MatMul -> (scale, softcap, mask) -> Softmax -> MatMul -> output
 *     past, fresh values -> Concat -> (repeat) ---------------> /
 *
 * Found by the flow of data from each Softmax, never by names.
 */
export function findDecomposed(graph: Graph, flow: CacheFlow): SiteCandidate[] {
  return graph.nodes
    .filter((node) => node.opType === 'Softmax' && reachesCache(graph, flow, node))
    .map((softmax) => candidate(graph, flow, softmax));
}

/**
 * The softmax of a router in a mixture of experts is followed by matmuls with weights, not by a
 * cache.
 */
function reachesCache(graph: Graph, flow: CacheFlow, softmax: NodeProto): boolean {
  const open = new Set([softmax.input[0]]);
  for (const name of open) {
    if (flow.joins(name)) return true;
    const node = graph.producer(name);
    if (!node || node.opType === 'Shape' || graph.isConstant(name)) continue;
    const isProjection = MATMULS.has(node.opType) && graph.isConstant(node.input[1]);
    if (isProjection) continue;
    // A Set may grow while it is iterated.
    for (const input of node.input) open.add(input);
  }
  return false;
}

function candidate(graph: Graph, flow: CacheFlow, softmax: NodeProto): SiteCandidate {
  const axis = intAttribute(softmax, 'axis', -1);
  if (axis !== -1 && axis !== 3) {
    throw unsupported(graph, softmax, `its axis is ${axis}; expected the last`);
  }
  const scores = walkScores(graph, flow, softmax);
  const matmul = walkWeights(graph, flow, softmax);
  const values = flow.cacheBehind(matmul.input[1]);
  if (!values) {
    throw unsupported(
      graph,
      matmul,
      `expected Concat(past values, new values), repeated for a group of heads, as its second input ${matmul.input[1]}`,
    );
  }
  return {
    form: FORM,
    node: matmul,
    numHeads: headCount(graph, flow, matmul.output[0], values.past),
    query: scores.query,
    queryLayout: 'heads',
    key: scores.keys.fresh,
    value: values.fresh,
    keyLayout: 'heads',
    pastKey: scores.keys.past,
    pastValue: values.past,
    joined: { key: scores.keys.joined, value: values.joined },
    reads: null,
    output: matmul.output[0],
    outputLayout: 'heads',
    scale: 1,
    softcap: 0,
    factors: scores.factors,
    capFactors: scores.capFactors,
    mask: { tensor: softmax.input[0], scores: scores.tensor, causal: false },
    guards: guardsBehind(graph, flow, matmul.output[0]),
  };
}

interface Scores {
  /** Output of the matmul of queries and keys. */
  readonly tensor: string;
  readonly query: string;
  readonly keys: JoinedCache;
  readonly factors: readonly Factor[];
  readonly capFactors: readonly Factor[];
}

/** Walks from the softmax back to the matmul of queries and keys. */
function walkScores(graph: Graph, flow: CacheFlow, softmax: NodeProto): Scores {
  let factors: Factor[] = [];
  let capFactors: Factor[] = [];
  let tensor = softmax.input[0];
  for (;;) {
    const node = graph.producer(tensor);
    if (node?.opType === 'MatMul') break;
    const split = node && flow.factorOf(node);
    if (split) {
      factors.push({ tensor: split.factor, divides: split.divides });
      tensor = split.value;
    } else if (node?.opType === 'Tanh' && capFactors.length === 0) {
      // Factors after the tanh are the cap's height; those before it scale the scores.
      capFactors = factors;
      factors = [];
      tensor = node.input[0];
    } else if (node && ON_SCORES.has(node.opType)) {
      tensor = scoreInput(graph, node);
    } else {
      const what = node
        ? `node ${node.name} (${node.opType}) makes its scores`
        : 'no node makes its scores';
      throw unsupported(
        graph,
        softmax,
        `${what}; expected MatMul(queries, keys), then a scale, a softcap and a mask`,
      );
    }
  }
  const matmul = graph.producer(tensor) as NodeProto;
  const keys = flow.cacheBehind(matmul.input[1], (node, factor) =>
    factors.push({ tensor: factor, divides: node.opType === 'Div' }),
  );
  if (!keys) {
    throw unsupported(
      graph,
      matmul,
      `expected Concat(past keys, new keys), transposed, as its second input ${matmul.input[1]}`,
    );
  }
  const query = withoutFactors(graph, flow, matmul.input[0], factors);
  return { tensor, query, keys, factors, capFactors };
}

/** The input of a node through which the scores come. */
function scoreInput(graph: Graph, node: NodeProto): string {
  const through = node.input.filter((name) => comesFromMatmul(graph, name));
  if (through.length === 1) return through[0];
  const what = `${through.length} of its inputs come from matmuls with keys; expected one`;
  if (!through.some((name) => joinsScores(graph, name))) throw unsupported(graph, node, what);
  // Other exporters write sinks so, too.
  throw unsupported(
    graph,
    node,
    `${what}, and its scores are joined with other logits, as attention sinks are written out`,
    `${BUILDER_ADVICE}, which writes sinks as head_sink of GroupQueryAttention`,
  );
}

/** True for a Concat of scores with something else, on the way to a tensor. */
function joinsScores(graph: Graph, tensor: string): boolean {
  const node = graph.producer(tensor);
  return node?.opType === 'Concat' && node.input.some((name) => comesFromMatmul(graph, name));
}

function comesFromMatmul(graph: Graph, tensor: string): boolean {
  const open = new Set([tensor]);
  for (const name of open) {
    const node = graph.producer(name);
    if (!node || node.opType === 'Shape') continue;
    if (node.opType === 'MatMul') {
      if (node.input.every((input) => !graph.isConstant(input))) return true;
      continue;
    }
    for (const input of node.input) open.add(input);
  }
  return false;
}

/** The queries before scaling, which saves a node in every step. */
function withoutFactors(graph: Graph, flow: CacheFlow, query: string, factors: Factor[]): string {
  const node = graph.producer(query);
  const split = node && flow.factorOf(node);
  if (!split) return query;
  factors.push({ tensor: split.factor, divides: split.divides });
  return split.value;
}

/** Walks from the softmax to the matmul with the values. */
function walkWeights(graph: Graph, flow: CacheFlow, softmax: NodeProto): NodeProto {
  const open = new Set([softmax.output[0]]);
  const matmuls = new Set<NodeProto>();
  for (const name of open) {
    for (const node of flow.consumers(name)) {
      if (node.opType === 'MatMul') matmuls.add(node);
      else if (node.opType === 'Shape') continue;
      else if (ON_WEIGHTS.has(node.opType)) open.add(node.output[0]);
      else {
        throw unsupported(
          graph,
          softmax,
          `node ${node.name} (${node.opType}) reads its weights; expected MatMul(weights, values)`,
        );
      }
    }
  }
  const [matmul] = matmuls;
  if (matmuls.size === 1) return matmul;
  throw unsupported(
    graph,
    softmax,
    `${matmuls.size} matmuls read its weights; expected one, with the values`,
  );
}

function unsupported(
  graph: Graph,
  node: NodeProto,
  what: string,
  advice = EXPORT_ADVICE,
): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${node.opType}), taken for a part of attention: ${what}. Export the model with ${advice}`,
  );
}
