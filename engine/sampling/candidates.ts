/**
 * The largest logits of a row, ranked: falling, and the lower id first among equals. A prefix of the ranking of the whole
 * vocabulary, so everything that only concerns the most likely tokens can be decided from it.
 */
export interface Candidates {
  /** At least one. */
  readonly count: number;
  /** `[count]` at least. */
  readonly ids: Int32Array;
  /** `[count]` at least. */
  readonly logits: Float32Array;
  /** Whether this is the whole vocabulary: nothing follows. */
  readonly complete: boolean;
}

/** Twice this many ids fit into what a float64 holds beside the 32 bits of a logit. */
const ID_RANGE = 2 ** 21;
const BINS = 2 ** 16;

/**
 * Ranks rows of logits. Its memory is reused: what `largest` returns is valid until the next call.
 *
 * A histogram over the upper 16 bits of the logits finds a bound that at least `count` logits reach; only those are sorted. At
 * 151,936 tokens: 0.4 ms for the first 128, 11 ms for all.
 */
export class LogitRanker {
  readonly #bins = new Uint32Array(BINS);
  #keys = new Float64Array(0);
  #ids = new Int32Array(0);
  #logits = new Float32Array(0);

  /** The `count` largest logits of a row; all of them if it has no more. */
  largest(row: Float32Array, count: number): Candidates {
    const bits = new Int32Array(row.buffer, row.byteOffset, row.length);
    const wanted = Math.min(count, row.length);
    // Where most of the row is wanted, sorting all of it is faster.
    const bound = 8 * wanted >= row.length ? 0 : this.#lowerBound(bits, wanted);
    this.#reserve(row.length);
    let found = 0;
    for (let id = 0; id < bits.length; id++) {
      const key = orderedKey(bits[id]);
      if (key >= bound) this.#keys[found++] = key * ID_RANGE + (ID_RANGE - 1 - id);
    }
    const sorted = this.#keys.subarray(0, found).sort();
    for (let rank = 0; rank < wanted; rank++) {
      const id = ID_RANGE - 1 - (sorted[found - 1 - rank] % ID_RANGE);
      this.#ids[rank] = id;
      this.#logits[rank] = row[id];
    }
    return {
      count: wanted,
      ids: this.#ids,
      logits: this.#logits,
      complete: wanted === row.length,
    };
  }

  /** A key that at least `count` of the logits reach, and few more. */
  #lowerBound(bits: Int32Array, count: number): number {
    this.#bins.fill(0);
    for (let id = 0; id < bits.length; id++) this.#bins[orderedKey(bits[id]) >>> 16] += 1;
    let bin = BINS;
    for (let reached = 0; reached < count; ) reached += this.#bins[--bin];
    return bin * 2 ** 16;
  }

  #reserve(size: number): void {
    if (this.#ids.length >= size) return;
    if (size > ID_RANGE) throw new Error(`a vocabulary of ${size} tokens; at most ${ID_RANGE}`);
    this.#keys = new Float64Array(size);
    this.#ids = new Int32Array(size);
    this.#logits = new Float32Array(size);
  }
}

/** A float32's bits as an unsigned number in the same order; -0 counts as 0. */
function orderedKey(bits: number): number {
  if (bits === -0x80000000) return 0x80000000;
  return (bits ^ ((bits >> 31) | 0x80000000)) >>> 0;
}
