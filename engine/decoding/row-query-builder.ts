import type { Decision } from '../sampling/row-needs.js';
import type { RowQuery } from './row-query.js';

/** Collects what a step's completions want of its rows. Rows are added in rising order. */
export class RowQueryBuilder {
  readonly #vocabSize: number;
  readonly #logitRows: number[] = [];
  readonly #targets: number[] = [];
  readonly #whole: number[] = [];
  readonly #sumRows: number[] = [];
  readonly #temperatures: number[] = [];
  readonly #neededMasses: number[] = [];
  readonly #closingRatios: number[] = [];
  readonly #hiddenRows: number[] = [];
  #ranked = 1;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  get numLogitRows(): number {
    return this.#logitRows.length;
  }

  get numSums(): number {
    return this.#sumRows.length;
  }

  get numHiddenRows(): number {
    return this.#hiddenRows.length;
  }

  /** @returns the number of the row among those with logits, for the calls that follow */
  addLogits(row: number, ranked: number, target = 0): number {
    this.#ranked = Math.max(this.#ranked, ranked);
    this.#targets.push(target);
    return this.#logitRows.push(row) - 1;
  }

  /** For the row added last. */
  addWhole(logitRow: number): void {
    this.#whole.push(logitRow);
  }

  /**
   * For the row added last: its sum, and the row itself unless that decides. @returns the sum's number
   */
  addSum(logitRow: number, temperature: number, unless: Decision = DECIDED): number {
    this.#temperatures.push(temperature);
    this.#neededMasses.push(unless.neededMass);
    this.#closingRatios.push(unless.closingRatio);
    return this.#sumRows.push(logitRow) - 1;
  }

  addHidden(row: number): void {
    this.#hiddenRows.push(row);
  }

  build(): RowQuery {
    return {
      logitRows: this.#logitRows,
      ranked: Math.min(this.#ranked, this.#vocabSize),
      targets: this.#targets,
      whole: this.#whole,
      sums: {
        rows: this.#sumRows,
        temperatures: this.#temperatures,
        neededMasses: this.#neededMasses,
        closingRatios: this.#closingRatios,
      },
      hiddenRows: this.#hiddenRows,
    };
  }
}

/** Whatever the mass. */
const DECIDED: Decision = { neededMass: -1, closingRatio: 0 };
