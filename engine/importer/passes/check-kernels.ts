import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { intAttribute, MICROSOFT } from '../onnx/nodes.js';
import type { NodeProto } from '../onnx/onnx_pb.js';

/** Why ONNX Runtime's CPU provider cannot run a node, or null. */
type Reason = (node: NodeProto) => string | null;

/**
 * Operators whose CPU kernel does not support everything that exporters write. Measured with
 * onnxruntime-node 1.30: some fail when their session is created, others at the first step, and
 * `use_sparse_mixer` is silently ignored.
 */
const REASONS: Readonly<Record<string, Reason>> = {
  MatMulNBits: (node) => {
    const bits = intAttribute(node, 'bits', 4);
    if (![2, 4, 8].includes(bits)) return `weights of ${bits} bits; it multiplies 2, 4 and 8`;
    return prepackedReason(node, 'weight_prepacked');
  },
  MoE: (node) => expertsReason(node, 6),
  QMoE: (node) => expertsReason(node, 8),
};

/** Weights prepacked for one kind of GPU: the CPU would silently read wrong numbers. */
function prepackedReason(node: NodeProto, attribute: string): string | null {
  const layout = intAttribute(node, attribute, 0);
  return layout === 0 ? null : `weights laid out for a GPU (${attribute} ${layout})`;
}

function expertsReason(node: NodeProto, thirdWeight: number): string | null {
  if (node.input[thirdWeight]) return `experts of three matmuls (${node.input[thirdWeight]})`;
  if (intAttribute(node, 'use_sparse_mixer', 0) === 1) return 'SparseMixer routing';
  const activation = node.attribute.find(({ name }) => name === 'activation_type')?.s;
  const prepacked = prepackedReason(node, 'weights_prepacked');
  if (prepacked) return prepacked;
  const type = node.attribute.find(({ name }) => name === 'quant_type')?.s;
  const format = type ? new TextDecoder().decode(type) : 'int';
  if (format !== 'int') return `experts in the format ${format}; it multiplies integers`;
  const isSwiglu = activation !== undefined && new TextDecoder().decode(activation) === 'swiglu';
  const fusion = intAttribute(node, 'swiglu_fusion', 0);
  return isSwiglu && fusion !== 1 ? `swiglu_fusion ${fusion}; it interleaves (1)` : null;
}

/**
 * @param nodes the nodes that are still live
 * @throws OctavoError `model_unsupported`: names the node and the reason
 */
export function checkKernels(graph: Graph, nodes: readonly NodeProto[]): void {
  for (const node of nodes) {
    const reason = node.domain === MICROSOFT ? REASONS[node.opType]?.(node) : null;
    if (!reason) continue;
    throw new OctavoError(
      'model_unsupported',
      `${graph.file}: node ${node.name} (${node.opType}): ONNX Runtime has no CPU kernel for ${reason}. Take another of the ` +
        "model's number formats (--dtype), or export it for the CPU: with ONNX Runtime GenAI's model builder (-e cpu) or Optimum " +
        '(--task text-generation-with-past)',
    );
  }
}
