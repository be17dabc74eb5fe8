import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { intAttribute } from '../onnx/nodes.js';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  type NodeProto,
} from '../onnx/onnx_pb.js';

/** Inputs of com.microsoft.GroupQueryAttention, by position. */
export const INPUTS = [
  'query',
  'key',
  'value',
  'past_key',
  'past_value',
  'seqlens_k',
  'total_sequence_length',
  'cos_cache',
  'sin_cache',
  'position_ids',
  'attention_bias',
  'head_sink',
  'k_scale',
  'v_scale',
  'q_norm_weight',
  'k_norm_weight',
  'query_seqlens',
] as const;

export type InputName = (typeof INPUTS)[number];

/** Inputs that an attention site supports, or that the scheduler's own lengths replace. */
const TAKEN = new Set<string>([
  ...INPUTS.slice(0, 9),
  'head_sink',
  'q_norm_weight',
  'k_norm_weight',
]);

/** Attributes that an attention shape can describe, with the values that are supported. */
const DESCRIBED: Readonly<Record<string, (value: number) => boolean>> = {
  num_heads: (value) => value > 0,
  kv_num_heads: (value) => value > 0,
  scale: Number.isFinite,
  softcap: (value) => value >= 0,
  // 0 means neither "no window" nor "itself only": with it, ONNX Runtime attends to nothing and
  // returns zeros.
  local_window_size: (value) => value === -1 || value > 0,
  do_rotary: (value) => value === 0 || value === 1,
  rotary_interleaved: (value) => value === 0 || value === 1,
};

/** Attributes that a shape cannot describe, with the values that have no effect. */
const WITHOUT_EFFECT: Readonly<Record<string, readonly (number | string)[]>> = {
  causal: [1],
  smooth_softmax: [-1, 0],
  qk_output: [0],
  // Concerns where keys are stored, not which are attended to: with 1, in buffers of
  // local_window_size tokens. (Without a window, see below.)
  sliding_window_cache: [0, 1],
  kv_cache_bit_width: [0],
  k_quant_type: ['NONE'],
  v_quant_type: ['NONE'],
};

const QUANTIZED =
  "; the model builder's option kv_cache_quant_scheme, for which Octavo has --kv-dtype";

/** Attributes for which messages name the exporter's own option. */
const WRITTEN_BY: Readonly<Record<string, string>> = {
  kv_cache_bit_width: QUANTIZED,
  k_quant_type: QUANTIZED,
  v_quant_type: QUANTIZED,
  rotary_embedding_dim:
    '; ONNX Runtime does not know it either: mobius writes it with --ep where a part of each head is rotated, and not without --ep',
};

/** Read only together with the norm weights. */
const IDLE = new Set(['qk_norm_epsilon', 'q_norm_epsilon', 'k_norm_epsilon']);

/** A named input of the node; an empty name when it is absent. */
export function inputOf(node: NodeProto, name: InputName): string {
  return node.input[INPUTS.indexOf(name)] ?? '';
}

/**
 * Each attribute and input of the node must be described by an attention shape or have no effect.
 * Unknown ones are refused, because later versions of the operator add some that change the result.
 *
 * @throws OctavoError `model_unsupported`
 */
export function refuseUnsupportedOptions(graph: Graph, node: NodeProto): void {
  for (const attribute of node.attribute) {
    const { name } = attribute;
    const value = valueOf(attribute);
    if (IDLE.has(name) || WITHOUT_EFFECT[name]?.includes(value)) continue;
    if (typeof value === 'number' && DESCRIBED[name]?.(value)) continue;
    const allowed = WITHOUT_EFFECT[name]?.join(' or ');
    const writer = WRITTEN_BY[name] ?? '';
    const hint = allowed === undefined ? writer : ` (only ${allowed}${writer})`;
    throw unsupported(graph, node, `the attribute ${name} ${value} is not supported${hint}`);
  }
  if (
    intAttribute(node, 'sliding_window_cache', 0) === 1 &&
    intAttribute(node, 'local_window_size', -1) < 1
  ) {
    throw unsupported(graph, node, 'sliding_window_cache 1 without a local_window_size');
  }
  const rotates = intAttribute(node, 'do_rotary', 0) === 1;
  for (const [index, tensor] of node.input.entries()) {
    const name = INPUTS[index] ?? `input ${index}`;
    if (tensor === '' || TAKEN.has(name)) continue;
    // The operator uses positions for its rotation only.
    if (name === 'position_ids' && !rotates) continue;
    throw unsupported(graph, node, `its input ${name} (${tensor}) is not supported`);
  }
}

export function unsupported(graph: Graph, node: NodeProto, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: node ${node.name} (GroupQueryAttention): ${what}. Supported: causal attention over a float32 cache, with ` +
      'scale, softcap, local_window_size, head_sink, norms of queries and keys, and do_rotary by cos_cache and sin_cache; export the ' +
      'model with these alone',
  );
}

function valueOf({ type, i, f, s }: AttributeProto): number | string {
  if (type === AttributeProto_AttributeType.INT) return Number(i);
  // Six digits, as the exporter wrote them: 0.1 is stored as 0.10000000149.
  if (type === AttributeProto_AttributeType.FLOAT) return Number(f.toPrecision(6));
  if (type === AttributeProto_AttributeType.STRING) return new TextDecoder().decode(s);
  return AttributeProto_AttributeType[type] ?? `of type ${type}`;
}
