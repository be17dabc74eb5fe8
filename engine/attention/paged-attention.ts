/**
 * What one attention node of the model computes. Every recogniser of the importer ends in this description,
 * and every implementation of `PagedAttention` honours all of it.
 */
export interface AttentionShape {
  readonly numHeads: number;
  /** Divides `numHeads`; query head `h` reads KV head `floor(h / (numHeads / numKvHeads))`. */
  readonly numKvHeads: number;
  /** Floats per head of Q, K and V. */
  readonly headSize: number;
  /** Factor on q·k before softcap, ALiBi and softmax. */
  readonly scale: number;
  /** Scores become `softcap * tanh(score / softcap)`; 0 turns it off. */
  readonly softcap: number;
  /** A query sees itself and the `slidingWindow - 1` tokens before it; 0 means all of its past. */
  readonly slidingWindow: number;
  /** One extra logit per query head that takes part in the softmax without a value: `[numHeads]`. */
  readonly sinks: Float32Array | null;
  /** ALiBi: `slope * (key position - query position)` is added to the score: `[numHeads]`. */
  readonly alibiSlopes: Float32Array | null;
  /** Rotation that the node itself applies to Q and K, before K is stored; null when the graph has done it. */
  readonly rotary: RotaryEmbedding | null;
}

/** A layer of the model: what it computes, and over which pages. */
export interface AttentionLayer extends AttentionShape {
  /**
   * An earlier layer with pages of its own and the same `numKvHeads` and `headSize`, whose keys and values this one attends over; absent, the
   * layer has pages of its own. (Gemma 3n and 4: the last layers have no keys.)
   */
  readonly pagesOf?: number;
}

/** Rotary position embedding (Su et al. 2021, RoFormer). */
export interface RotaryEmbedding {
  /** Number of leading floats of each head that are rotated; even. */
  readonly dim: number;
  /** True: pairs are (0, 1), (2, 3), ...; false: pairs are (i, i + dim / 2). */
  readonly interleaved: boolean;
  /** `[maxPositions, dim / 2]`, row = position. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** How K and V are stored: float32; upper 16 bits of it; or integers with a float32 scale per token and KV head. */
export const KV_DTYPES = ['f32', 'bf16', 'int16', 'int8'] as const;
export type KvDtype = (typeof KV_DTYPES)[number];

/** Bytes of one number in a page. */
export const ELEMENT_BYTES: Readonly<Record<KvDtype, number>> = {
  f32: 4,
  bf16: 2,
  int16: 2,
  int8: 1,
};

/** Bytes of the scale of one token and KV head, of K or of V; 0 where pages hold floats. */
export function scaleBytes(kvDtype: KvDtype): number {
  return kvDtype === 'int16' || kvDtype === 'int8' ? 4 : 0;
}

/**
 * One step's ragged batch: `T` tokens in a row, those of sequence `s` at rows `queryStarts[s]` to
 * `queryStarts[s + 1] - 1`. The same description that PagedAttention takes on a GPU (Kwon et al. 2023, SOSP, section 4.2).
 *
 * The query at row `queryStarts[s] + i` has position `contextLengths[s] - queryLength + i` and sees all stored
 * tokens of its sequence up to and including its own.
 */
export interface AttentionBatch {
  readonly numSequences: number;
  /** `[numSequences + 1]`, ascending from 0 to T. */
  readonly queryStarts: Int32Array;
  /** `[numSequences]`: tokens in the cache when this step's are written, so at least the query length. */
  readonly contextLengths: Int32Array;
  /** `[numSequences, blockTableStride]` block ids; only the first `ceil(contextLength / blockSize)` of a row are read. */
  readonly blockTables: Int32Array;
  readonly blockTableStride: number;
}

/**
 * Attention over a paged KV cache that this object owns: pages for `numBlocks` blocks of `blockSize` tokens in
 * every layer. It stores the step's K and V into the pages itself, then attends.
 *
 * All calls are synchronous and belong to one thread; an implementation may use helper threads inside a call.
 * Arrays passed in are only read during the call.
 */
export interface PagedAttention {
  /** Begins a step. `batch` stays valid and unchanged until the next call of `beginStep`. */
  beginStep(batch: AttentionBatch): void;
  /**
   * Stores K and V of the step's T tokens in layer `layer`, then writes the attention output. A layer over another one's pages stores
   * nothing: `forward` was called for the other one before, in the same step.
   *
   * @param query  `[T, numHeads * headSize]`
   * @param key    `[T, numKvHeads * headSize]`; null for a layer without pages of its own
   * @param value  `[T, numKvHeads * headSize]`; null for a layer without pages of its own
   * @param output `[T, numHeads * headSize]`, written completely
   */
  forward(
    layer: number,
    query: Float32Array,
    key: Float32Array | null,
    value: Float32Array | null,
    output: Float32Array,
  ): void;
  /** Copies all layers' pages of block `from` to block `to` (copy-on-write). Not during a step. */
  copyBlock(from: number, to: number): void;
  /** Stops helper threads and lets the pages go. Idempotent. */
  dispose(): Promise<void>;
}

/** What an implementation needs to lay out its pages. */
export interface PagedAttentionConfig {
  /** One entry per layer; layers may differ. */
  readonly layers: readonly AttentionLayer[];
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly kvDtype: KvDtype;
  /** Threads that work on one call, the calling one included. */
  readonly threads: number;
}

/** Bytes of one block's pages over all layers: what divides the memory given to the cache into blocks. */
export function bytesPerBlock(
  layers: readonly AttentionLayer[],
  blockSize: number,
  kvDtype: KvDtype,
): number {
  let bytes = 0;
  for (const layer of layers.filter(({ pagesOf }) => pagesOf === undefined)) {
    const rows = 2 * blockSize * layer.numKvHeads;
    bytes += rows * (layer.headSize * ELEMENT_BYTES[kvDtype] + scaleBytes(kvDtype));
  }
  return bytes;
}
