import type { NodeProto } from './onnx/onnx_pb.js';

/**
 * Layout of a tensor's heads, for a batch of one: `heads` is `[1, H, T, D]` or `[H, T, D]`,
 * `tokens` is `[1, T, H * D]`.
 */
export type HeadLayout = 'heads' | 'tokens';

export interface JoinedNames {
  readonly key: string;
  readonly value: string;
}

/** Tensors of the graph from which the mask can be computed. */
export interface MaskSource {
  /** The values that are added to the scores, or the masked scores. */
  readonly tensor: string;
  /**
   * The scores before masking, which the probe replaces by zeros; null when `tensor` is the mask
   * itself.
   */
  readonly scores: string | null;
  /** Whether the attention node also masks later tokens itself. */
  readonly causal: boolean;
}

/**
 * Attention as found in a graph, before its mask has been probed: the nodes from query, past and
 * fresh keys and values to the output.
 */
export interface SiteCandidate {
  readonly form: string;
  /** The last node, which computes `output`; messages name it. */
  readonly node: NodeProto;
  readonly numHeads: number;
  readonly query: string;
  readonly queryLayout: HeadLayout;
  /**
   * This step's keys and values, before they join the past. If another site owns the cache, that
   * site's.
   */
  readonly key: string;
  readonly value: string;
  readonly keyLayout: HeadLayout;
  /** Inputs of the graph, `[batch, kvHeads, past, headSize]`. */
  readonly pastKey: string;
  readonly pastValue: string;
  /**
   * Past and fresh keys and values together, `[batch, kvHeads, past + T, headSize]`; null when the
   * node joins them itself.
   */
  readonly joined: JoinedNames | null;
  /** The same, when an earlier site owns the cache that this one reads; else null. */
  readonly reads: JoinedNames | null;
  readonly output: string;
  readonly outputLayout: HeadLayout;
  /**
   * Scale as the node states it; null for its default of 1 / sqrt(headSize). Factors that the graph
   * computes are not included.
   */
  readonly scale: number | null;
  readonly softcap: number;
  /** Tensors that multiply or divide the scores on their way to the softcap. */
  readonly factors: readonly Factor[];
  /** Factors after the tanh of a softcap: its height. Empty without a softcap. */
  readonly capFactors: readonly Factor[];
  /** Null when only later tokens are masked. */
  readonly mask: MaskSource | null;
  /** Nodes after the output for rows without any key. Causal attention has no such rows. */
  readonly guards: readonly RowGuard[];
}

/**
 * `Where(rows without any key, 0, attention)`, as transformers 5 writes it: a fused kernel returns
 * zeros for such rows, a softmax over nothing does not.
 */
export interface RowGuard {
  readonly node: NodeProto;
  /** Tensor of conditions, true for a row without any key. */
  readonly condition: string;
  /** Tensor that the node passes on for all other rows. */
  readonly passed: string;
}

export interface Factor {
  readonly tensor: string;
  readonly divides: boolean;
}
