import type { BlockStore } from './block-store.js';

/**
 * What one attention node of the model computes. Every recognizer of the importer ends in this
 * description, and every implementation of `PagedAttention` honors all of it.
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
  /**
   * One extra logit per query head that takes part in the softmax without a value: `[numHeads]`.
   */
  readonly sinks: Float32Array | null;
  /** ALiBi: `slope * (key position - query position)` is added to the score: `[numHeads]`. */
  readonly alibiSlopes: Float32Array | null;
  /**
   * Rotation that the node itself applies to Q and K, before K is stored; null when the graph has
   * done it.
   */
  readonly rotary: RotaryEmbedding | null;
}

/** A layer of the model: what it computes, and over which pages. */
export interface AttentionLayer extends AttentionShape {
  /**
   * An earlier layer with pages of its own and the same `numKvHeads` and `headSize`, whose keys and
   * values this one attends over; absent: the layer has pages of its own. (Gemma 3n and 4: the last
   * layers have no keys.)
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

/**
 * How K and V are stored: float32; upper 16 bits of it; or integers with a float32 scale per token
 * and KV head.
 */
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
 * `queryStarts[s + 1] - 1`. The same description that PagedAttention takes on a GPU (Kwon et al.
 * 2023, SOSP, section 4.2).
 *
 * The query at row `queryStarts[s] + i` has position `contextLengths[s] - queryLength + i` and sees
 * all stored tokens of its sequence up to and including its own.
 */
export interface AttentionBatch {
  readonly numSequences: number;
  /** `[numSequences + 1]`, ascending from 0 to T. */
  readonly queryStarts: Int32Array;
  /**
   * `[numSequences]`: tokens in the cache when this step's are written, so at least the query
   * length.
   */
  readonly contextLengths: Int32Array;
  /** By cache group (`PageLayout`). */
  readonly blockTables: readonly BlockTables[];
}

/** The block tables of a batch's sequences in one group, end to end (CSR). */
export interface BlockTables {
  /** `[numSequences + 1]`: sequence `s` has the entries `starts[s]` to `starts[s + 1] - 1`. */
  readonly starts: Int32Array;
  /**
   * Block ids. Of a sequence's entries only the first `ceil(contextLength / blockSize)` are read,
   * and none that lies wholly before the window of the step's first query.
   */
  readonly blocks: Int32Array;
}

/** Lays tables end to end. */
export function joinTables(tables: readonly (readonly number[])[]): BlockTables {
  const starts = new Int32Array(tables.length + 1);
  for (const [s, table] of tables.entries()) starts[s + 1] = starts[s] + table.length;
  const blocks = new Int32Array(starts[tables.length]);
  for (const [s, table] of tables.entries()) blocks.set(table, starts[s]);
  return { starts, blocks };
}

/**
 * Attention over a paged KV cache. Each layer of a step has two phases: `write` stores the step's K
 * and V into the pages, `attend` reads what the step's queries see. A layer that reads the pages of
 * another has the second phase only.
 *
 * All calls are synchronous and belong to one thread; an implementation may use helper threads
 * inside a call. Arrays passed in are only read during the call.
 */
export interface PagedAttention {
  /** The pages that it computes on; disposed of with it. */
  readonly pages: BlockStore;
  /** Begins a step. `batch` stays valid and unchanged until the next call of `beginStep`. */
  beginStep(batch: AttentionBatch): void;
  /**
   * Stores K and V of the step's T tokens in layer `layer`, rotated where the layer rotates. Not
   * for a layer over another one's pages.
   *
   * @param key `[T, numKvHeads * headSize]`
   * @param value `[T, numKvHeads * headSize]`
   */
  write(layer: number, key: Float32Array, value: Float32Array): void;
  /**
   * Writes the attention output, after this step's K and V of the layer are stored: a sequence may
   * see blocks that another one fills in the same step.
   *
   * @param query `[T, numHeads * headSize]`
   * @param output `[T, numHeads * headSize]`, written completely
   */
  attend(layer: number, query: Float32Array, output: Float32Array): void;
  /** Stops helper threads and lets the pages go. Idempotent. */
  dispose(): Promise<void>;
}
