import type { Decision } from '../sampling/row-needs.js';
import type { LogitsQuery } from './logits-query.js';

/** Collects what a step's sequences need from its rows. Rows must be added in rising order. */
export class LogitsQueryBuilder {
  readonly #vocabSize: number;
  readonly #logitRows: number[] = [];
  readonly #targetIds: number[] = [];
  readonly #fullRows: number[] = [];
  readonly #sumRows: number[] = [];
  readonly #temperatures: number[] = [];
  readonly #coverMasses: number[] = [];
  readonly #cutoffRatios: number[] = [];
  readonly #hiddenRows: number[] = [];
  #topK = 1;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  get numLogitRows(): number {
    return this.#logitRows.length;
  }

  get numSoftmaxSums(): number {
    return this.#sumRows.length;
  }

  get numHiddenRows(): number {
    return this.#hiddenRows.length;
  }

  /** @returns the row's number among those with logits, for later calls */
  addLogits(row: number, topK: number, target = 0): number {
    this.#topK = Math.max(this.#topK, topK);
    this.#targetIds.push(target);
    return this.#logitRows.push(row) - 1;
  }

  /** Asks for the whole row; call it for the row added last. */
  addFullRow(logitRow: number): void {
    this.#fullRows.push(logitRow);
  }

  /**
   * Asks for the sum of the row added last, and for the whole row unless `unless` decides.
   *
   * @returns the sum's number
   */
  addSoftmaxSum(logitRow: number, temperature: number, unless: Decision = DECIDED): number {
    this.#temperatures.push(temperature);
    this.#coverMasses.push(unless.coverMass);
    this.#cutoffRatios.push(unless.cutoffRatio);
    return this.#sumRows.push(logitRow) - 1;
  }

  addHidden(row: number): void {
    this.#hiddenRows.push(row);
  }

  build(): LogitsQuery {
    return {
      logitRows: this.#logitRows,
      topK: Math.min(this.#topK, this.#vocabSize),
      targetIds: this.#targetIds,
      fullRows: this.#fullRows,
      softmaxSums: {
        rows: this.#sumRows,
        temperatures: this.#temperatures,
        coverMasses: this.#coverMasses,
        cutoffRatios: this.#cutoffRatios,
      },
      hiddenRows: this.#hiddenRows,
    };
  }
}

/** Always decides, whatever the mass. */
const DECIDED: Decision = { coverMass: -1, cutoffRatio: 0 };
