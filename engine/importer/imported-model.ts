import type { AttentionLayer } from '../attention/paged-attention.js';

/**
 * A decoder cut at its attention nodes. With L sites there are L + 1 segments; segment i ends in
 * the query, key and value of site i, and later segments start from the site's output:
 *
 *     ids, positions -> [segment 0] -q,k,v-> (site 0)
 *                    -> [segment 1] -q,k,v-> (site 1)
 *                    -> ... -> [segment L] -> ranked logits
 *
 * All tokens of a step lie in one row: activations are `[1, T, width]`, float32.
 */
export interface ImportedModel {
  readonly segments: readonly Segment[];
  readonly sites: readonly AttentionSite[];
  readonly vocabSize: number;
  /** Width of the hidden states; null where the graph does not tell. */
  readonly hiddenSize: number | null;
  /**
   * Most tokens that a step may hold, or null for any number: ONNX Runtime's RotaryEmbedding
   * refuses rows longer than its tables, though the positions in a row of many sequences are all
   * within them.
   */
  readonly maxStepTokens: number | null;
  /** Longest sequence that the graph was made ready for, in tokens. */
  readonly servedLength: number;
  /**
   * Sequences longer than one of these, in tokens, are computed otherwise, all of their tokens
   * alike (LongRoPE's factors): what was computed of a sequence is of no use when it grows beyond.
   * Rising; empty for most models.
   */
  readonly switchLengths: readonly number[];
  /** Where the external data of segments lies; null when there is none. */
  readonly weightsDir: string | null;
  /**
   * Whether int8 products that the export brought along would saturate on this CPU: sessions need
   * EXACT_SUMS.
   */
  readonly saturates: boolean;
  readonly report: ImportReport;
}

/** One piece of the graph, ready to become an ONNX Runtime session. */
export interface Segment {
  readonly index: number;
  /**
   * A serialized ModelProto, made anew by each look: with weights inside the model's file it may be
   * as large as that.
   */
  readonly model: Uint8Array;
  /** Tensors it reads: the step's own (`StepInput`) or outputs of earlier segments and sites. */
  readonly inputs: readonly string[];
  /** Tensors it computes that a site, a later segment or the sampler reads. */
  readonly outputs: readonly string[];
}

/**
 * Names under which the runner feeds a step; a segment lists those that it reads among its inputs.
 * Most are read by the last segment only (`ROW_INPUTS`).
 */
export const STEP_INPUT = {
  /** int64 `[1, T]` */
  inputIds: 'input_ids',
  /** int64 `[1, T]` */
  positionIds: 'position_ids',
  /**
   * int64 `[1, T]`: how long each token's sequence is, tokens of later steps included. Read by
   * models with switch lengths only.
   */
  sequenceLengths: 'octavo.sequence_lengths',
  /** int64 `[S]`: the rows, of T, whose logits are wanted. */
  sampleRows: 'octavo.sample_rows',
  /** int64 `[H]`: the rows, of T, whose hidden state is wanted. */
  hiddenRows: 'octavo.hidden_rows',
  /** int64 `[1]`: K, how many of the largest logits are wanted of each of the S rows. */
  ranked: 'octavo.ranked',
  /** int64 `[1, S, 1]`: tokens whose logits are wanted whatever their rank. */
  targetIds: 'octavo.target_ids',
  /** int64: rows, of S, that are wanted whole in any case. */
  wholeRows: 'octavo.whole_rows',
  /**
   * int64 `[M]`: rows, of S, over which is summed; a row may stand here twice, for two
   * temperatures.
   */
  sumRows: 'octavo.sum_rows',
  /** float32 `[1, M, 1]` */
  inverseTemperatures: 'octavo.inverse_temperatures',
  /**
   * float32 `[1, M, 1]`: the row comes out whole unless its top K have more than this share of the
   * probability ...
   */
  neededMasses: 'octavo.needed_masses',
  /**
   * float32 `[1, M, 1]`: ... or the probability of the last of them is less than this share of the
   * first's.
   */
  closingRatios: 'octavo.closing_ratios',
  /**
   * uint8 `[T]`, 128 all: where the zero of a quantized activation is. Read by quantized models
   * only.
   */
  zeroPoints: 'octavo.zero_points',
} as const;

/**
 * What is fed to the last segment only, and several times when many rows are asked for; all else is
 * fed once a step.
 */
export const ROW_INPUTS: ReadonlySet<string> = new Set(
  Object.values(STEP_INPUT).filter(
    (name) =>
      name !== STEP_INPUT.inputIds &&
      name !== STEP_INPUT.positionIds &&
      name !== STEP_INPUT.sequenceLengths &&
      name !== STEP_INPUT.zeroPoints,
  ),
);

/** Outputs of the last segment. */
export const STEP_OUTPUT = {
  /** float32 `[1, S, K]`, falling. */
  topLogits: 'octavo.top_logits',
  /** int32 `[1, S, K]`; the lower id first among equals. */
  topIds: 'octavo.top_ids',
  /** float32 `[1, S, 1]` */
  targetLogits: 'octavo.target_logits',
  /** float32 `[1, M, 1]`: probability of the row's largest logit at the temperature. */
  largestProbabilities: 'octavo.largest_probabilities',
  /** int32 `[F]`: rows, of S, that come out whole. */
  wholeRows: 'octavo.whole_rows_out',
  /** float32 `[1, F, vocabSize]` */
  wholeLogits: 'octavo.whole_logits',
  /** float32 `[1, H, hiddenSize]`: what enters the LM head. */
  hidden: 'octavo.hidden',
} as const;

/** Output of the model, inside the last segment: float32 `[1, S, vocabSize]`. */
export const LOGITS = 'logits';

/** An attention node that was cut out, and the tensors that took its place. */
export interface AttentionSite extends AttentionLayer {
  readonly layer: number;
  /** Name of the node, for people. */
  readonly node: string;
  /** Which form it was recognized as, e.g. `GroupQueryAttention`. */
  readonly form: string;
  /** `[1, T, numHeads * headSize]` */
  readonly query: string;
  /** `[1, T, numKvHeads * headSize]`; null over the pages of an earlier layer. */
  readonly key: string | null;
  /** `[1, T, numKvHeads * headSize]`; null over the pages of an earlier layer. */
  readonly value: string | null;
  /** `[1, T, numHeads * headSize]` */
  readonly output: string;
}

/** What the importer saw and did, for `octavo inspect` and the log. */
export interface ImportReport {
  readonly file: string;
  /** Why this file, and which others are there. */
  readonly variant: string;
  /** As the file names it. */
  readonly producer: string;
  /** Which tool that is, by name and by what the graph shows. */
  readonly exporter: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: number;
  readonly weightBytes: number;
  readonly weights: Readonly<Record<string, number>>;
  readonly segments: readonly { readonly nodes: number; readonly weightBytes: number }[];
  /** One line per rewrite, in the order in which they were made. */
  readonly rewrites: readonly string[];
}
