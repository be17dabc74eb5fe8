import type { Graph } from '../graph.js';
import { constantInts } from '../graph-queries.js';
import { intAttribute } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/**
 * Some graphs select the last tokens of the row before the LM head: as many as transformers.js'
 * input `num_logits_to_keep` states, or one (the model builder's `prune_lm_head`). In a row of many
 * sequences, these are the wrong rows.
 *
 * @param tensor input of the LM head
 * @returns the tensor before the selection, with all tokens
 */
export function inputOfRowSelection(graph: Graph, tensor: string): string {
  const node = graph.producer(tensor);
  if (!node) return tensor;
  if (node.opType === 'Slice' && isTokenAxis(constantInts(graph, node.input[3])))
    return node.input[0];
  if (node.opType === 'Gather' && selectsTokens(node)) return node.input[0];
  if (node.opType !== 'Unsqueeze' || !isTokenAxis(constantInts(graph, node.input[1])))
    return tensor;
  // When one token is selected, the axis is removed and added again.
  const gather = graph.producer(node.input[0]);
  return gather?.opType === 'Gather' && selectsTokens(gather) ? gather.input[0] : tensor;
}

function selectsTokens(gather: NodeProto): boolean {
  return isTokenAxis([intAttribute(gather, 'axis', 0)]);
}

/** Whether these axes are the token axis of `[batch, tokens, hidden]`. */
function isTokenAxis(axes: readonly number[] | undefined): boolean {
  return axes?.length === 1 && (axes[0] === 1 || axes[0] === -2);
}
