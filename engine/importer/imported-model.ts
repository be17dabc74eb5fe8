import type { AttentionLayer } from '../attention/paged-attention.js';
import type { Recurrence } from '../recurrent/recurrence.js';

/** What is known of a decoder, whichever device runs it. */
export interface ModelFacts {
  /** Attention; a site's `layer` is its index here. */
  readonly sites: readonly AttentionSite[];
  /** Those that keep a state instead; a site's `layer` is its index here. None in most models. */
  readonly recurrent: readonly RecurrentSite[];
  readonly vocabSize: number;
  /** Width of the hidden states; null when the graph does not state it. */
  readonly hiddenSize: number | null;
  /**
   * Most tokens that a step may hold, or null for any number: ONNX Runtime's RotaryEmbedding
   * refuses rows longer than its tables, though the positions in a row of many sequences are all
   * within them.
   */
  readonly maxStepTokens: number | null;
  /** Longest sequence that the graph was prepared for, in tokens. */
  readonly servedLength: number;
  /**
   * Lengths in tokens, rising, at which the model changes how it computes all tokens of a sequence
   * (LongRoPE's factors): when a sequence grows beyond one, its keys and values so far are useless.
   * Empty for most models.
   */
  readonly switchLengths: readonly number[];
  /** Directory of the segments' external data; null when there is none. */
  readonly weightsDir: string | null;
  /**
   * Whether int8 matmuls of the export itself would saturate on this CPU; sessions then need
   * EXACT_SUMS.
   */
  readonly saturates: boolean;
  /** What it is fed of images; null when it takes none. */
  readonly imageInputs: ImageInputs | null;
  readonly report: ImportReport;
}

/**
 * A decoder cut at its attention nodes, and at the nodes that keep a state, for the CPU. With L
 * sites there are L + 1 segments; segment i ends in the inputs of site i, and later segments start
 * from the site's output:
 *
 *     ids, positions -> [segment 0] -q,k,v-> (site 0)
 *                    -> [segment 1] -q,k,v-> (site 1)
 *                    -> ... -> [segment L] -> ranked logits
 *
 * All tokens of a step lie in one row: activations are `[1, T, width]`, float32.
 */
export interface ImportedModel extends ModelFacts {
  readonly segments: readonly Segment[];
  /**
   * Present where something else than a step runs embedding and head, too. Then there are L + 2
   * segments: what the last one would be is cut before the head.
   */
  readonly ends?: OpenEnds;
  /** The matmuls that adapters may change; empty where none are served. */
  readonly adapterTargets: readonly AdapterTarget[];
  /** All sites, in the order of the segments. */
  readonly cuts: readonly CutSite[];
}

/** The ends of a decoder, as they can be run by themselves. */
export interface OpenEnds {
  /** Token ids to their embeddings, `[1, T, hiddenSize]`; the one output. */
  readonly embedding: Segment;
  /** Input of the head, the last segment: `[1, T, hiddenSize]`, behind the last norm. */
  readonly hidden: string;
}

export interface ImageInputs {
  /** Of an image's rows: that of the hidden states. */
  readonly width: number;
  /** Whether tokens have three positions. */
  readonly hasPositions: boolean;
  /** Layers of the decoder behind which features are added to those of image tokens. */
  readonly numDeepstack: number;
}

/** One piece of the graph, ready to become an ONNX Runtime session. */
export interface Segment {
  readonly index: number;
  /**
   * A serialized ModelProto. Each read of this property makes a new one, as large as the model's
   * file if that holds the weights.
   */
  readonly model: Uint8Array;
  /** Tensors it reads: step inputs (`STEP_INPUT`), or outputs of earlier segments and sites. */
  readonly inputs: readonly string[];
  /** Tensors it computes that a site, a later segment or the sampler reads. */
  readonly outputs: readonly string[];
  /** Absent where no adapter can change anything. */
  readonly adapted?: AdaptedSegment;
}

/** A segment that also computes the low-rank products of adapters, when a step feeds them. */
export interface AdaptedSegment {
  readonly targets: readonly AdapterTarget[];
  /** In place of `Segment.model`; made at each read, too. See `emit/adapted-segment.ts`. */
  readonly model: Uint8Array;
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
   * int64 `[1, T]`: length of each token's sequence, tokens of later steps included. Read only by
   * models with switch lengths.
   */
  sequenceLengths: 'octavo.sequence_lengths',
  /** int64 `[S]`: the rows, among T, whose logits are computed. */
  sampleRows: 'octavo.sample_rows',
  /** int64 `[H]`: the rows, among T, whose hidden state is returned. */
  hiddenRows: 'octavo.hidden_rows',
  /** int64 `[1]`: K, the number of largest logits that are returned for each of the S rows. */
  topK: 'octavo.top_k',
  /** int64 `[1, S, 1]`: tokens whose logits are returned whatever their rank. */
  targetIds: 'octavo.target_ids',
  /** int64: rows, among S, that are returned whole in any case. */
  fullRows: 'octavo.full_rows',
  /**
   * int64 `[M]`: rows, among S, whose probabilities are summed. A row may occur twice, for two
   * temperatures.
   */
  sumRows: 'octavo.sum_rows',
  /** float32 `[1, M, 1]` */
  inverseTemperatures: 'octavo.inverse_temperatures',
  /**
   * float32 `[1, M, 1]`: the row is returned whole unless its top K have more than this probability
   * ...
   */
  coverMasses: 'octavo.cover_masses',
  /**
   * float32 `[1, M, 1]`: ... or the last of them has less than this fraction of the first's
   * probability.
   */
  cutoffRatios: 'octavo.cutoff_ratios',
  /** uint8 `[T]`, all 128: zero points of quantized activations. Read only by quantized models. */
  zeroPoints: 'octavo.zero_points',
  /** int64 `[N, 2]`: 0 and the row, among T, of each token that stands for a piece of an image. */
  imageRows: 'octavo.image_rows',
  /** float32 `[N, width]`: what stands in the place of their embeddings. */
  imageEmbeds: 'octavo.image_embeds',
  /** float32 `[layers, N, width]`: what is added to their hidden states behind the first layers. */
  deepstackEmbeds: 'octavo.deepstack_embeds',
  /** int64 `[3, 1, T]`: what is added to each token's three positions. */
  positionShifts: 'octavo.position_shifts',
} as const;

/** Inputs that have to do with all tokens of a step. */
const TOKEN_INPUTS: ReadonlySet<string> = new Set([
  STEP_INPUT.inputIds,
  STEP_INPUT.positionIds,
  STEP_INPUT.sequenceLengths,
  STEP_INPUT.zeroPoints,
  STEP_INPUT.imageRows,
  STEP_INPUT.imageEmbeds,
  STEP_INPUT.deepstackEmbeds,
  STEP_INPUT.positionShifts,
]);

/**
 * Inputs of the last segment only. It may run several times in a step, when many rows are asked
 * for; the other segments run once.
 */
export const ROW_INPUTS: ReadonlySet<string> = new Set(
  Object.values(STEP_INPUT).filter((name) => !TOKEN_INPUTS.has(name)),
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
  /** int32 `[F]`: the rows, among S, that are returned whole. */
  fullRows: 'octavo.full_rows_out',
  /** float32 `[1, F, vocabSize]` */
  fullLogits: 'octavo.full_logits',
  /** float32 `[1, H, hiddenSize]`: input of the LM head. */
  hidden: 'octavo.hidden',
} as const;

/** What layers that draft read besides positions, and what they make: float32 `[1, T, width]`. */
export const DRAFT_TENSOR = {
  embeddings: 'octavo.draft_embeddings',
  hidden: 'octavo.draft_hidden',
  output: 'octavo.draft_output',
} as const;

/** The model's own output, which stays inside the last segment: float32 `[1, S, vocabSize]`. */
export const LOGITS = 'logits';

/** A matmul of `[rows, inputs]` to `[rows, outputs]`, to which low-rank products may be added. */
export interface AdapterTarget {
  readonly layer: number;
  /** The module inside of the layer, such as `self_attn.q_proj`. */
  readonly path: string;
  /** Row of the module's weight with which this matmul's begins: not 0 for a part of a module. */
  readonly firstRow: number;
  /** Modules that it may compute side by side, each with ranks of its own. */
  readonly parts: number;
  /**
   * Size of heads whose rows are stored sorted for a rotation of neighbors, as GGUF has them: row
   * `2j` of a head is the module's row `j`, `2j + 1` its row `size / 2 + j`. Absent: none are.
   */
  readonly sortedHeads?: number;
  readonly activation: string;
  /** The result, with its bias. */
  readonly output: string;
  readonly inputs: number;
  readonly outputs: number;
}

/** Inputs of segments with adapters. All rows and their products are float32. */
export const ADAPTER_INPUT = {
  /** bool, a scalar: whether the step has rows with an adapter. Without, the others are empty. */
  isAdapted: 'octavo.is_adapted',
  /** int64 `[N]`: those rows, among T. */
  rows: 'octavo.adapter_rows',
  /** `[N, R]`: 1 for the ranks of the row's adapter, else 0. */
  mask: ({ parts }: AdapterTarget): string => `octavo.adapter_mask.${parts}`,
  /** `[R, inputs]`: the first matrices of R ranks, of all adapters in the step. */
  first: ({ output }: AdapterTarget): string => `${output}/octavo.lora_a`,
  /** `[R, outputs]`: the second matrices, turned. */
  second: ({ output }: AdapterTarget): string => `${output}/octavo.lora_b`,
} as const;

/** An attention node that was cut out, and the tensors at its borders. */
export interface AttentionSite extends AttentionLayer {
  readonly layer: number;
  /** Name of the node, for messages. */
  readonly node: string;
  /** The form that was recognized, e.g. `GroupQueryAttention`. */
  readonly form: string;
  /** `[1, T, numHeads * headSize]` */
  readonly query: string;
  /** `[1, T, numKvHeads * headSize]`; null when the layer reads an earlier layer's pages. */
  readonly key: string | null;
  /** `[1, T, numKvHeads * headSize]`; null when the layer reads an earlier layer's pages. */
  readonly value: string | null;
  /**
   * `[1, T, (numHeads + 2 * numKvHeads) * headSize]`: query, key and value of a token side by side.
   * Where it is there, it is what a segment computes, in their stead.
   */
  readonly packed?: string;
  /** `[1, T, numHeads * headSize]` */
  readonly output: string;
}

/** A node with a state that was cut out, and the tensors at its borders. */
export interface RecurrentSite {
  /** Among the layers with a state. */
  readonly layer: number;
  /** Name of the node, for messages. */
  readonly node: string;
  /** The form that was recognized, e.g. `LinearAttention`. */
  readonly form: string;
  readonly recurrence: Recurrence;
  /** Tensors that `Recurrence` describes. */
  readonly inputs: readonly string[];
  readonly output: string;
}

export type CutSite = AttentionSite | RecurrentSite;

export function isRecurrent(site: CutSite): site is RecurrentSite {
  return 'recurrence' in site;
}

/** What the importer found and did, for `octavo inspect` and the log. */
export interface ImportReport {
  readonly file: string;
  /** Why this file was chosen, and which others there are. */
  readonly variant: string;
  /** Producer name and version as the file states them. */
  readonly producer: string;
  /**
   * The model in words, where it was built by its configuration; null where a file has the graph.
   */
  readonly architecture: string | null;
  /** The tool that wrote it, by its name and by the graph. */
  readonly exporter: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: number;
  readonly weightBytes: number;
  readonly weights: Readonly<Record<string, number>>;
  readonly segments: readonly { readonly nodes: number; readonly weightBytes: number }[];
  /** One line per rewrite, in the order in which they were made. */
  readonly rewrites: readonly string[];
}
