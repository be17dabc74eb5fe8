import type { Candidates } from '../sampling/candidates.js';
import type { RowLogits } from '../sampling/sequence-sampler.js';
import type { LogitsQuery, LogitsResult } from './logits-query.js';

/**
 * The model's answer to a step's query, by row. Numbers of rows and sums are those that the query's
 * builder returned.
 */
export class StepAnswer {
  readonly #query: LogitsQuery;
  readonly #answer: LogitsResult;
  readonly #vocabSize: number;
  /** Rows that were returned whole. */
  readonly #fullRows = new Map<number, Float32Array>();

  constructor(query: LogitsQuery, answer: LogitsResult, vocabSize: number) {
    this.#query = query;
    this.#answer = answer;
    this.#vocabSize = vocabSize;
    answer.fullRows.forEach((row, index) => {
      const from = index * vocabSize;
      this.#fullRows.set(row, answer.fullLogits.subarray(from, from + vocabSize));
    });
  }

  /** @param sum null when none was asked for */
  logits(row: number, sum: number | null): RowLogits {
    return {
      candidates: this.candidates(row),
      total: sum === null ? null : this.softmaxSum(sum),
      row: this.#fullRows.get(row) ?? null,
    };
  }

  candidates(row: number): Candidates {
    const { topK } = this.#query;
    const [from, to] = [row * topK, (row + 1) * topK];
    return {
      count: topK,
      ids: this.#answer.topIds.subarray(from, to),
      logits: this.#answer.topLogits.subarray(from, to),
      complete: topK === this.#vocabSize,
    };
  }

  softmaxSum(sum: number): number {
    return this.#answer.softmaxSums[sum];
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
