import { OctavoError } from '../../errors.js';
import { EXPORT_ADVICE } from '../advice.js';
import { floatAttribute, type Graph, intAttribute, MICROSOFT } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { SiteCandidate } from '../site-candidate.js';
import type { CacheFlow } from './cache-flow.js';
import { guardsBehind } from './row-guards.js';

/** Inputs of com.microsoft.MultiHeadAttention, by position. */
const INPUT = { query: 0, key: 1, value: 2, bias: 3, attentionBias: 5, past: 6, pastValue: 7 };

const FORM = 'MultiHeadAttention';

/**
 * `com.microsoft.MultiHeadAttention`: ONNX Runtime GenAI's model builder writes it where
 * GroupQueryAttention has no kernel, and ONNX Runtime's optimizer fuses decomposed attention into
 * it. The past is an input of the node, or is joined before it.
 */
export function findMultiHead(graph: Graph, flow: CacheFlow): SiteCandidate[] {
  return graph.nodes
    .filter((node) => node.opType === FORM && node.domain === MICROSOFT)
    .map((node) => candidate(graph, flow, node));
}

function candidate(graph: Graph, flow: CacheFlow, node: NodeProto): SiteCandidate {
  const input = (index: number): string => node.input[index] ?? '';
  const [query, key, value] = [INPUT.query, INPUT.key, INPUT.value].map(input);
  if (!key || !value) throw unsupported(graph, node, 'its query, key and value are packed');
  if (input(INPUT.bias)) throw unsupported(graph, node, `its input bias (${input(INPUT.bias)})`);
  const extra = node.input.findIndex((name, index) => index > INPUT.pastValue && name !== '');
  if (extra >= 0) throw unsupported(graph, node, `its input ${extra} (${input(extra)})`);
  const [past, pastValue] = [INPUT.past, INPUT.pastValue].map(input);
  const keys = flow.cacheOf(past, key);
  const values = flow.cacheOf(pastValue, value);
  if (!keys || !values) {
    throw unsupported(
      graph,
      node,
      `its key ${key} or value ${value} has no past of its own; expected past_key and past_value, or Concat(past, new)`,
    );
  }
  const bias = input(INPUT.attentionBias);
  const causal = intAttribute(node, 'unidirectional', 0) === 1;
  return {
    form: FORM,
    node,
    numHeads: intAttribute(node, 'num_heads', 0),
    query,
    queryLayout: 'tokens',
    key: keys.fresh,
    value: values.fresh,
    keyLayout: past ? 'tokens' : 'heads',
    pastKey: keys.past,
    pastValue: values.past,
    joined: past ? null : { key: keys.joined, value: values.joined },
    reads: null,
    output: node.output[0],
    outputLayout: 'tokens',
    scale: floatAttribute(node, 'scale', 0) || null,
    softcap: 0,
    factors: [],
    capFactors: [],
    mask: bias ? { tensor: bias, scores: null, causal } : null,
    guards: guardsBehind(graph, flow, node.output[0]),
  };
}

function unsupported(graph: Graph, node: NodeProto, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (${FORM}): ${what} is not supported. Supported: separate query, key and value with an ` +
      `attention_bias; export the model so, or with ${EXPORT_ADVICE}`,
  );
}
