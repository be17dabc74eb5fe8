import { setImmediate } from 'node:timers/promises';

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
