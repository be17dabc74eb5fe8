import type { Graph } from '../graph.js';
import { intAttribute, MICROSOFT } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { SiteCandidate } from '../site-candidate.js';
import type { CacheFlow } from './cache-flow.js';
import { type FusedForm, fusedCandidate, unsupportedNode } from './fused-attention.js';

const FORM: FusedForm = {
  name: 'MultiHeadAttention',
  inputs: { query: 0, key: 1, value: 2, mask: 5, past: 6, pastValue: 7 },
  supported: 'separate query, key and value with an attention_bias',
};

/** Position of an input that is not supported: it is added to query, key and value. */
const BIAS = 3;

/**
 * `com.microsoft.MultiHeadAttention`: ONNX Runtime GenAI's model builder writes it where
 * GroupQueryAttention has no kernel, and ONNX Runtime's optimizer fuses decomposed attention into
 * it.
 */
export function findMultiHead(graph: Graph, flow: CacheFlow): SiteCandidate[] {
  return graph.nodes
    .filter((node) => node.opType === FORM.name && node.domain === MICROSOFT)
    .map((node) => candidate(graph, flow, node));
}

function candidate(graph: Graph, flow: CacheFlow, node: NodeProto): SiteCandidate {
  const { key, value } = FORM.inputs;
  if (!node.input[key] || !node.input[value]) {
    throw unsupportedNode(graph, node, FORM, 'its query, key and value are packed');
  }
  const bias = node.input[BIAS];
  if (bias) throw unsupportedNode(graph, node, FORM, `its input bias (${bias})`);
  return fusedCandidate(graph, flow, node, FORM, {
    numHeads: () => intAttribute(node, 'num_heads', 0),
    layout: 'tokens',
    causal: intAttribute(node, 'unidirectional', 0) === 1,
    softcap: 0,
  });
}
