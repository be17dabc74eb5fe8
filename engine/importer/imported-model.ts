import type { AttentionShape } from '../attention/paged-attention.js';

/**
 * A decoder cut at its attention nodes. With L sites there are L + 1 segments; segment i ends in the query, key
 * and value of site i, and later segments start from the site's output:
 *
 *     ids, positions -> [segment 0] -q,k,v-> (site 0) -> [segment 1] -q,k,v-> (site 1) -> ... -> [segment L] -> logits
 *
 * All tokens of a step lie in one row: activations are `[1, T, width]`, float32.
 */
export interface ImportedModel {
  readonly segments: readonly Segment[];
  readonly sites: readonly AttentionSite[];
  readonly vocabSize: number;
  /**
   * Most tokens that a step may hold, or null for any number: ONNX Runtime's RotaryEmbedding refuses rows longer than
   * its tables, though the positions in a row of many sequences are all within them.
   */
  readonly maxStepTokens: number | null;
  readonly report: ImportReport;
  /** Removes temporary files that segments may be in. To be called once their sessions exist. */
  release(): Promise<void>;
}

/** One piece of the graph, ready to become an ONNX Runtime session. */
export interface Segment {
  readonly index: number;
  /** A serialised ModelProto, or the path of one where weights are external data. */
  readonly model: Uint8Array | string;
  /** Tensors it reads: the step's own (`StepInput`) or outputs of earlier segments and sites. */
  readonly inputs: readonly string[];
  /** Tensors it computes that a site, a later segment or the sampler reads. */
  readonly outputs: readonly string[];
}

/** Names under which the runner feeds a step; a segment lists those that it reads among its inputs. */
export const STEP_INPUT = {
  /** int64 `[1, T]` */
  inputIds: 'input_ids',
  /** int64 `[1, T]` */
  positionIds: 'position_ids',
  /** int64 `[S]`: the rows, of T, whose logits are wanted. */
  sampleRows: 'octavo.sample_rows',
} as const;

/** Output of the last segment: float32 `[1, S, vocabSize]`. */
export const LOGITS = 'logits';

/** An attention node that was cut out, and the tensors that took its place. */
export interface AttentionSite extends AttentionShape {
  readonly layer: number;
  /** Name of the node, for people. */
  readonly node: string;
  /** Which form it was recognised as, e.g. `GroupQueryAttention`. */
  readonly form: string;
  /** `[1, T, numHeads * headSize]` */
  readonly query: string;
  /** `[1, T, numKvHeads * headSize]` */
  readonly key: string;
  /** `[1, T, numKvHeads * headSize]` */
  readonly value: string;
  /** `[1, T, numHeads * headSize]` */
  readonly output: string;
}

/** What the importer saw and did, for `octavo inspect` and the log. */
export interface ImportReport {
  readonly file: string;
  /** Why this file, and which others are there. */
  readonly variant: string;
  readonly producer: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: number;
  readonly weightBytes: number;
  readonly weights: Readonly<Record<string, number>>;
  readonly segments: readonly { readonly nodes: number; readonly weightBytes: number }[];
  /** One line per rewrite, in the order in which they were made. */
  readonly rewrites: readonly string[];
}
