import { setImmediate } from 'node:timers/promises';

/**
 * Long work in short turns: between two of them the event loop serves everybody else. One for a request's work.
 */
export class Turns {
  readonly #unitsPerTurn: number;
  readonly #isOver: () => boolean;
  #units = 0;

  /**
   * @param unitsPerTurn how much may be done before others get their turn
   * @param isOver when nobody waits for the result any more
   */
  constructor(unitsPerTurn: number, isOver: () => boolean = () => false) {
    this.#unitsPerTurn = unitsPerTurn;
    this.#isOver = isOver;
  }

  /**
   * Called before each piece of the work.
   *
   * @param units the size of the piece
   * @returns false when the rest need not be done
   */
  async next(units: number): Promise<boolean> {
    if (this.#units > 0 && this.#units + units > this.#unitsPerTurn) {
      await setImmediate();
      this.#units = 0;
    }
    this.#units += units;
    return !this.#isOver();
  }
}

/**
 * Pieces of work of many requests, each of which holds the thread for a while: one in each turn of the event loop, in the order of arrival.
 * However many come at once, everybody else waits for one of them at most.
 */
export class OneByOne {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when it is the caller's turn. What it does then, it does at once. */
  turn(): Promise<void> {
    this.#last = this.#last.then(() => setImmediate());
    return this.#last;
  }
}
