import { OctavoError } from '../../errors.js';
import { EXPORT_ADVICE } from '../advice.js';
import { floatAttribute, type Graph, intAttribute } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { SiteCandidate } from '../site-candidate.js';
import type { CacheFlow } from './cache-flow.js';
import { headCount } from './head-count.js';
import { guardsBehind } from './row-guards.js';
import { readWrittenCaches } from './written-caches.js';

/** Inputs of the standard Attention operator, by position. */
const INPUT = { query: 0, key: 1, value: 2, mask: 3, past: 4, pastValue: 5 };

const FORM = 'Attention';

/**
 * The standard `Attention` operator of opset 23 and later, which torch's exporter writes for
 * scaled_dot_product_attention. The past is joined before it, is an input of the node, or is in a
 * cache of a fixed size.
 */
export function findOnnxAttention(graph: Graph, flow: CacheFlow): SiteCandidate[] {
  return graph.nodes
    .filter((node) => node.opType === FORM && (node.domain === '' || node.domain === 'ai.onnx'))
    .map((node) => candidate(graph, flow, node));
}

function candidate(graph: Graph, flow: CacheFlow, node: NodeProto): SiteCandidate {
  const odd = readWrittenCaches(graph, node);
  if (odd) throw unsupported(graph, node, odd);
  const input = (index: number): string => node.input[index] ?? '';
  const [query, key, value] = [INPUT.query, INPUT.key, INPUT.value].map(input);
  const extra = node.input.findIndex((name, index) => index > INPUT.pastValue && name !== '');
  if (extra >= 0) throw unsupported(graph, node, `its input ${extra} (${input(extra)})`);
  if (node.output[3]) throw unsupported(graph, node, `its output qk_matmul_output`);
  const [past, pastValue] = [INPUT.past, INPUT.pastValue].map(input);
  const keys = flow.cacheOf(past, key);
  const values = flow.cacheOf(pastValue, value);
  if (!keys || !values) {
    throw unsupported(
      graph,
      node,
      `its K ${key} or V ${value} has no past of its own; expected past_key and past_value, or Concat(past, new)`,
    );
  }
  const stated = intAttribute(node, 'q_num_heads', 0);
  // With q_num_heads, the tensors are [batch, tokens, heads * size]; without it, [batch, heads,
  // tokens, size].
  const layout = stated > 0 ? 'tokens' : 'heads';
  const mask = input(INPUT.mask);
  const causal = intAttribute(node, 'is_causal', 0) === 1;
  return {
    form: FORM,
    node,
    numHeads: stated || headCount(graph, flow, node.output[0], values.past),
    query,
    queryLayout: layout,
    key: keys.fresh,
    value: values.fresh,
    keyLayout: past ? layout : 'heads',
    pastKey: keys.past,
    pastValue: values.past,
    joined: past ? null : { key: keys.joined, value: values.joined },
    reads: null,
    output: node.output[0],
    outputLayout: layout,
    scale: floatAttribute(node, 'scale', 0) || null,
    softcap: floatAttribute(node, 'softcap', 0),
    factors: [],
    capFactors: [],
    mask: mask ? { tensor: mask, scores: null, causal } : null,
    guards: guardsBehind(graph, flow, node.output[0]),
  };
}

function unsupported(graph: Graph, node: NodeProto, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${FORM}): ${what} is not supported. Supported: Q, K, V and attn_mask over past_key and ` +
      `past_value; export the model so, or with ${EXPORT_ADVICE}`,
  );
}
