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
