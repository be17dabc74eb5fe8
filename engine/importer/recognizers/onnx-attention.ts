import type { Graph } from '../graph.js';
import { floatAttribute, intAttribute } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import type { SiteCandidate } from '../site-candidate.js';
import type { CacheFlow } from './cache-flow.js';
import { type FusedForm, fusedCandidate, unsupportedNode } from './fused-attention.js';
import { headCount } from './head-count.js';
import { readWrittenCaches } from './written-caches.js';

const FORM: FusedForm = {
  name: 'Attention',
  inputs: { query: 0, key: 1, value: 2, mask: 3, past: 4, pastValue: 5 },
  supported: 'Q, K, V and attn_mask over past_key and past_value',
};

/**
 * The standard `Attention` operator of opset 23 and later, which torch's exporter writes for
 * scaled_dot_product_attention. Its past may also be in a cache of a fixed size.
 */
export function findOnnxAttention(graph: Graph, flow: CacheFlow): SiteCandidate[] {
  return graph.nodes
    .filter(
      (node) => node.opType === FORM.name && (node.domain === '' || node.domain === 'ai.onnx'),
    )
    .map((node) => candidate(graph, flow, node));
}

function candidate(graph: Graph, flow: CacheFlow, node: NodeProto): SiteCandidate {
  const odd = readWrittenCaches(graph, node);
  if (odd) throw unsupportedNode(graph, node, FORM, odd);
  if (node.output[3]) throw unsupportedNode(graph, node, FORM, 'its output qk_matmul_output');
  const stated = intAttribute(node, 'q_num_heads', 0);
  return fusedCandidate(graph, flow, node, FORM, {
    numHeads: (pastValue) => stated || headCount(graph, flow, node.output[0], pastValue),
    // With q_num_heads, the tensors are [batch, tokens, heads * size]; without it, [batch, heads,
    // tokens, size].
    layout: stated > 0 ? 'tokens' : 'heads',
    causal: intAttribute(node, 'is_causal', 0) === 1,
    softcap: floatAttribute(node, 'softcap', 0),
  });
}
