import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Splits a request's long work into short turns, between which the event loop serves other
 * requests.
 */
export class Turns {
  readonly #unitsPerTurn: number;
  readonly #isOver: () => boolean;
  #units = 0;

  /**
   * @param unitsPerTurn amount of work in one turn
   * @param isOver tells whether the result is no longer needed
   */
  constructor(unitsPerTurn: number, isOver: () => boolean = () => false) {
    this.#unitsPerTurn = unitsPerTurn;
    this.#isOver = isOver;
  }

  /**
   * Call before each piece of work.
   *
   * @param units the size of the piece
   * @returns false when the rest need not be done
   */
  async next(units: number): Promise<boolean> {
    if (this.#units > 0 && this.#units + units > this.#unitsPerTurn) {
      await nextTurn();
      this.#units = 0;
    }
    this.#units += units;
    return !this.#isOver();
  }
}

/**
 * Does one piece of work in each turn of the event loop, however many come together, so that other
 * connections are served in between.
 */
export class OnePerTurn {
  readonly #waiting: (() => void)[] = [];

  /** @param work runs once, later, in the order of the calls */
  add(work: () => void): void {
    if (this.#waiting.push(work) === 1) setImmediate(this.#take);
  }

  readonly #take = (): void => {
    try {
      this.#waiting[0]();
    } finally {
      this.#waiting.shift();
      if (this.#waiting.length > 0) setImmediate(this.#take);
    }
  };
}
