import type { NodeProto } from '../onnx/onnx_pb.js';

/**
 * How a tensor holds its heads, for a batch of one: `heads` is `[1, H, T, D]` or `[H, T, D]`,
 * `tokens` is `[1, T, H * D]`.
 */
export type HeadLayout = 'heads' | 'tokens';

export interface JoinedNames {
  readonly key: string;
  readonly value: string;
}

/** What the mask does to scores, as tensors of the graph. */
export interface MaskSource {
  /** Values that are added to the scores, or the scores after it was done. */
  readonly tensor: string;
  /** The scores before, which the probe replaces by zeros; null when `tensor` is the mask alone. */
  readonly scores: string | null;
  /** What the attention node does beside it. */
  readonly causal: boolean;
}

/**
 * Attention as it stands in a graph, before anything is known about what its mask does. The node,
 * or nodes, from query, past and fresh keys and values to the output.
 */
export interface SiteCandidate {
  readonly form: string;
  /** The node that people are told about, and the last one: it makes `output`. */
  readonly node: NodeProto;
  readonly numHeads: number;
  readonly query: string;
  readonly queryLayout: HeadLayout;
  /**
   * This step's keys and values, before they join the past; what another site puts there, if that
   * one has the cache.
   */
  readonly key: string;
  readonly value: string;
  readonly keyLayout: HeadLayout;
  /** Inputs of the graph, `[batch, kvHeads, past, headSize]`. */
  readonly pastKey: string;
  readonly pastValue: string;
  /**
   * Past and fresh ones together, `[batch, kvHeads, past + T, headSize]`, where they are tensors
   * that the node reads.
   */
  readonly joined: JoinedNames | null;
  /** The same, if an earlier site has this cache already, which this one attends over too. */
  readonly reads: JoinedNames | null;
  readonly output: string;
  readonly outputLayout: HeadLayout;
  /**
   * What the node states, null for its default of 1 / sqrt(headSize); factors that the graph
   * computes come on top.
   */
  readonly scale: number | null;
  readonly softcap: number;
  /** Tensors that multiply or divide the scores on their way to the softcap. */
  readonly factors: readonly Factor[];
  /** The same after the tanh of a softcap: its height. Empty without. */
  readonly capFactors: readonly Factor[];
  /** Null: nothing is masked but later tokens. */
  readonly mask: MaskSource | null;
  /** What stands behind the output for rows without any key, of which causal attention has none. */
  readonly guards: readonly RowGuard[];
}

/**
 * `Where(rows without any key, 0, attention)`, as transformers 5 writes it: a fused kernel gives
 * such rows zeros, a softmax over nothing does not.
 */
export interface RowGuard {
  readonly node: NodeProto;
  /** Conditions, true for a row without any key. */
  readonly condition: string;
  /** What the node gives for all other rows. */
  readonly passed: string;
}

export interface Factor {
  readonly tensor: string;
  readonly divides: boolean;
}
