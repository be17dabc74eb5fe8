import type { BlockStore } from './block-store.js';

/**
 * What one attention node of the model computes. Every recognizer of the importer produces this
 * description, and every implementation of `PagedAttention` supports all of it.
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
  /**
   * A query attends to itself and the `slidingWindow - 1` tokens before it; 0 means its whole past.
   */
  readonly slidingWindow: number;
  /**
   * `[numHeads]`: one extra logit for each query head, which takes part in the softmax without a
   * value.
   */
  readonly sinks: Float32Array | null;
  /** `[numHeads]`: ALiBi adds `slope * (key position - query position)` to the score. */
  readonly alibiSlopes: Float32Array | null;
  /** Rotation that is applied to Q, and to K before it is stored; null when the graph rotates. */
  readonly rotary: RotaryEmbedding | null;
}

/** Attention over the whole past, without anything beside it. */
export const plainAttention = (
  numHeads: number,
  numKvHeads: number,
  headSize: number,
): AttentionShape => ({
  numHeads,
  numKvHeads,
  headSize,
  scale: 1 / Math.sqrt(headSize),
  softcap: 0,
  slidingWindow: 0,
  sinks: null,
  alibiSlopes: null,
  rotary: null,
});

/** A layer of the model: what it computes, and on which pages. */
export interface AttentionLayer extends AttentionShape {
  /**
   * An earlier layer with its own pages and the same `numKvHeads` and `headSize`, whose keys and
   * values this layer reads. Absent when the layer has its own pages. (In Gemma 3n and 4, the last
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

/** How a cache stores K and V, on whichever device; `f16` is for those with memory of their own. */
export type CacheDtype = KvDtype | 'f16';

/** Bytes of one number in a page. */
export const ELEMENT_BYTES: Readonly<Record<CacheDtype, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  int16: 2,
  int8: 1,
};

/** Bytes of the scale of one token and KV head, of K or of V; 0 where pages hold floats. */
export function scaleBytes(kvDtype: CacheDtype): number {
  return kvDtype === 'int16' || kvDtype === 'int8' ? 4 : 0;
}

/**
 * One step's ragged batch: `T` tokens in a row; sequence `s` has rows `queryStarts[s]` to
 * `queryStarts[s + 1] - 1`. PagedAttention on a GPU takes the same description (Kwon et al. 2023,
 * SOSP, section 4.2).
 *
 * The query at row `queryStarts[s] + i` has position `contextLengths[s] - queryLength + i` and
 * attends to all stored tokens of its sequence up to and including its own, or up to `lastSeen`.
 */
export interface AttentionBatch {
  readonly numSequences: number;
  /** `[numSequences + 1]`, ascending from 0 to T. */
  readonly queryStarts: Int32Array;
  /**
   * `[numSequences]`: tokens in the cache once this step's are written, so at least the query
   * length.
   */
  readonly contextLengths: Int32Array;
  /** By cache group (`PageLayout`). */
  readonly blockTables: readonly BlockTables[];
  /**
   * `[T]`: the last position that each query attends to, its own or that of a later token of this
   * step: tokens of an image may attend to each other in both directions. A window begins where it
   * would without. Absent: each query's own position.
   */
  readonly lastSeen?: Int32Array;
}

/** The block tables of a batch's sequences in one group, end to end (CSR). */
export interface BlockTables {
  /** `[numSequences + 1]`: sequence `s` has the entries `starts[s]` to `starts[s + 1] - 1`. */
  readonly starts: Int32Array;
  /**
   * Block ids. Of a sequence's entries, only the first `ceil(contextLength / blockSize)` are read,
   * and none that is entirely before the window of the step's first query.
   */
  readonly blocks: Int32Array;
}

/** Concatenates tables. */
export function joinTables(tables: readonly (readonly number[])[]): BlockTables {
  const starts = new Int32Array(tables.length + 1);
  for (const [s, table] of tables.entries()) starts[s + 1] = starts[s] + table.length;
  const blocks = new Int32Array(starts[tables.length]);
  // One by one: TypedArray.set is several times slower for an array of JavaScript's.
  for (let s = 0, at = 0; s < tables.length; s++) {
    const table = tables[s];
    for (let i = 0; i < table.length; i++) blocks[at++] = table[i];
  }
  return { starts, blocks };
}

/** What a layer is about to read in a step. */
export interface PageRequest {
  readonly layer: number;
  readonly batch: AttentionBatch;
  /** Those of the layer's group. */
  readonly tables: BlockTables;
  /** `[T, numHeads * headSize]`, not rotated where the layer itself rotates. */
  readonly query: Float32Array;
}

/**
 * Chooses the pages that a layer reads, step by step and by its queries: of a long context most
 * pages weigh next to nothing (Tang et al. 2024, Quest). Pages that are not chosen are not touched,
 * so they need not be in memory. What a query would have seen there is left out of its softmax, as
 * if it were masked.
 */
export interface PageSelector {
  /**
   * @returns for each entry of `tables.blocks`, 1 where the page is read; null: all of them. It
   *   stays unchanged until the next call. Pages with tokens of this step are read in any case, so
   *   that a query sees itself at least
   */
  select(request: PageRequest): Uint8Array | null;
}

/**
 * Attention over a paged KV cache. Each layer of a step has three phases: `store` writes the step's
 * K and V into the pages; then `attend` lets the `PageSelector`, if there is one, select what is
 * read, and reads the context of the step's queries. A layer that reads another layer's pages
 * stores nothing.
 *
 * All calls are synchronous and must come from one thread; an implementation may use worker threads
 * inside a call. Arrays that are passed in are read only during the call.
 */
export interface PagedAttention {
  /** The pages that it computes on; it owns and disposes them. */
  readonly pages: BlockStore;
  /** Begins a step. `batch` stays valid and unchanged until the next call of `beginStep`. */
  beginStep(batch: AttentionBatch): void;
  /**
   * Stores K and V of the step's T tokens in layer `layer`, rotated if the layer rotates. Not
   * allowed for a layer that reads another layer's pages.
   *
   * @param key `[T, numKvHeads * headSize]`
   * @param value `[T, numKvHeads * headSize]`
   */
  store(layer: number, key: Float32Array, value: Float32Array): void;
  /**
   * Computes the attention output. Call it after `store`: a sequence may attend to blocks that
   * another one fills in the same step.
   *
   * @param query `[T, numHeads * headSize]`
   * @param output `[T, numHeads * headSize]`, written completely
   * @throws Error when what the selector returns has another length than the layer's block tables
   */
  attend(layer: number, query: Float32Array, output: Float32Array): void;
  /**
   * `store` and `attend` for queries, keys and values that one matmul has written side by side.
   *
   * @param packed `[T, (numHeads + 2 * numKvHeads) * headSize]`
   * @param output as in `attend`
   * @throws Error as `attend` does
   */
  attendPacked(layer: number, packed: Float32Array, output: Float32Array): void;
  /** Ends worker threads and frees the pages. Idempotent. */
  dispose(): Promise<void>;
}

/**
 * Asks the selector, if there is one.
 *
 * @throws Error for a selection of another length than the tables
 */
export function selectPages(
  selector: PageSelector | undefined,
  request: PageRequest,
): Uint8Array | null {
  const selection = selector?.select(request) ?? null;
  const { length } = request.tables.blocks;
  if (selection && selection.length !== length) {
    throw new Error(
      `layer ${request.layer}: ${selection.length} pages are selected from, ${length} there are`,
    );
  }
  return selection;
}
