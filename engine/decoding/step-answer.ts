import type { Candidates } from '../sampling/candidates.js';
import type { RowLogits } from '../sampling/sequence-sampler.js';
import type { RowAnswer, RowQuery } from './row-query.js';

/** The model's answer to a step's query, by row. Numbers of rows and sums are those that the query's builder gave. */
export class StepAnswer {
  readonly #query: RowQuery;
  readonly #answer: RowAnswer;
  readonly #vocabSize: number;
  /** Rows that came out whole. */
  readonly #whole = new Map<number, Float32Array>();

  constructor(query: RowQuery, answer: RowAnswer, vocabSize: number) {
    this.#query = query;
    this.#answer = answer;
    this.#vocabSize = vocabSize;
    answer.wholeRows.forEach((row, index) => {
      const from = index * vocabSize;
      this.#whole.set(row, answer.wholeLogits.subarray(from, from + vocabSize));
    });
  }

  /** @param sum null: none was asked for */
  logits(row: number, sum: number | null): RowLogits {
    return {
      candidates: this.candidates(row),
      total: sum === null ? null : this.total(sum),
      row: this.#whole.get(row) ?? null,
    };
  }

  candidates(row: number): Candidates {
    const { ranked } = this.#query;
    const [from, to] = [row * ranked, (row + 1) * ranked];
    return {
      count: ranked,
      ids: this.#answer.topIds.subarray(from, to),
      logits: this.#answer.topLogits.subarray(from, to),
      complete: ranked === this.#vocabSize,
    };
  }

  total(sum: number): number {
    return this.#answer.totals[sum];
  }

  targetLogit(row: number): number {
    return this.#answer.targetLogits[row];
  }

  /** `[count, hiddenSize]` */
  hidden(first: number, count: number): Float32Array {
    const size = this.#answer.hidden.length / this.#query.hiddenRows.length;
    return this.#answer.hidden.subarray(first * size, (first + count) * size);
  }
}
