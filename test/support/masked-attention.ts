import { roundKey, roundValue } from '../../engine/attention/kv-rounding.js';
import type { AttentionShape, KvDtype } from '../../engine/attention/paged-attention.js';
import { rotateHead } from '../../engine/attention/rotary.js';

/** `[position][head][headSize]` */
type Rows = Float32Array[][];

/**
 * Attention without pages: K and V of one sequence and layer, one row after another, and a mask. In
 * float64, as the textbook has it. It shares the rounding of the formats with what it is compared
 * to, and nothing else.
 */
export class MaskedAttention {
  readonly #shape: AttentionShape;
  readonly #kvDtype: KvDtype;
  readonly #keys: Rows = [];
  readonly #values: Rows = [];

  constructor(shape: AttentionShape, kvDtype: KvDtype) {
    this.#shape = shape;
    this.#kvDtype = kvDtype;
  }

  /** The next token's K and V. @param key `[numKvHeads * headSize]`, as `value` */
  append(key: Float32Array, value: Float32Array): void {
    const { headSize, rotary } = this.#shape;
    const position = this.#keys.length;
    const keys = split(key, headSize);
    const values = split(value, headSize);
    for (const head of keys) {
      if (rotary) rotateHead(head, rotary, position);
      roundKey(head, this.#kvDtype);
    }
    for (const head of values) roundValue(head, this.#kvDtype);
    this.#keys.push(keys);
    this.#values.push(values);
  }

  /**
   * @param shape of the reading layer: another one when it attends over this one's keys
   * @param query `[numHeads * headSize]` of the token at `position`
   * @param last the last position that the query sees
   * @param sees the mask beside that of the past and the window
   * @returns `[numHeads * headSize]`
   */
  attend(
    shape: AttentionShape,
    query: Float32Array,
    position: number,
    last: number,
    sees: (position: number) => boolean,
  ): number[] {
    const { numHeads, numKvHeads, slidingWindow, sinks } = shape;
    const first = slidingWindow > 0 ? Math.max(0, position - slidingWindow + 1) : 0;
    const seen = range(first, last).filter(sees);
    return split(query, shape.headSize).flatMap((q, head) => {
      if (shape.rotary) rotateHead(q, shape.rotary, position);
      const kvHead = Math.floor(head / (numHeads / numKvHeads));
      const scores = seen.map((p) => score(shape, head, q, this.#keys[p][kvHead], p - position));
      const logits = sinks ? [...scores, sinks[head]] : scores;
      const max = Math.max(...logits);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0);
      const result = Array.from(q, () => 0);
      for (const [i, p] of seen.entries()) {
        const weight = Math.exp(scores[i] - max) / sum;
        const value = this.#values[p][kvHead];
        for (let d = 0; d < value.length; d++) result[d] += weight * value[d];
      }
      return result;
    });
  }
}

function score(
  { scale, softcap, alibiSlopes }: AttentionShape,
  head: number,
  query: Float32Array,
  key: Float32Array,
  distance: number,
): number {
  let product = 0;
  for (let d = 0; d < key.length; d++) product += query[d] * key[d];
  product *= scale;
  const capped = softcap > 0 ? softcap * Math.tanh(product / softcap) : product;
  return capped + (alibiSlopes ? alibiSlopes[head] * distance : 0);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function split(row: Float32Array, size: number): Float32Array[] {
  return Array.from({ length: row.length / size }, (_, i) => row.slice(i * size, (i + 1) * size));
}
