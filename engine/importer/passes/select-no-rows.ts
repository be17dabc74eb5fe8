import { constantInts } from '../constant-ints.js';
import { type Graph, intAttribute } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/**
 * Some graphs keep the last tokens of the row themselves before the LM head: all that
 * transformers.js' input `num_logits_to_keep` asks for, or one (the model builder's
 * `prune_lm_head`). In a row of many sequences, others are wanted.
 *
 * @param tensor what enters the LM head
 * @returns the same for all tokens
 */
export function beforeSelection(graph: Graph, tensor: string): string {
  const node = graph.producer(tensor);
  if (!node) return tensor;
  if (node.opType === 'Slice' && isTokenAxis(constantInts(graph, node.input[3])))
    return node.input[0];
  if (node.opType === 'Gather' && selectsTokens(node)) return node.input[0];
  if (node.opType !== 'Unsqueeze' || !isTokenAxis(constantInts(graph, node.input[1])))
    return tensor;
  // Of one token, the axis is gone and comes back.
  const gather = graph.producer(node.input[0]);
  return gather?.opType === 'Gather' && selectsTokens(gather) ? gather.input[0] : tensor;
}

function selectsTokens(gather: NodeProto): boolean {
  return isTokenAxis([intAttribute(gather, 'axis', 0)]);
}

/** Of `[batch, tokens, hidden]`. */
function isTokenAxis(axes: readonly number[] | undefined): boolean {
  return axes?.length === 1 && (axes[0] === 1 || axes[0] === -2);
}
