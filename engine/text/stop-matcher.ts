/** Result of a piece of text: text that may be shown, and whether a stop string has ended it. */
export interface StopResult {
  readonly text: string;
  readonly stopped: boolean;
  /** The stop string that ended the text; else null. */
  readonly stop: string | null;
}

/**
 * Finds stop strings in a text that arrives in pieces. The first string to be complete wins; among
 * strings complete at the same character, the longest does. So the result does not depend on how
 * the text was split.
 *
 * Holds back the longest suffix of the text that is a prefix of a stop string, and no more. Each
 * string has a Knuth-Morris-Pratt automaton, which reads each character once, however long the
 * string is.
 */
export class StopMatcher {
  readonly #automata: readonly StopAutomaton[];
  readonly #includeStop: boolean;
  #held = '';

  constructor(stops: readonly string[], options: { includeStop: boolean }) {
    this.#automata = stops.map((stop) => new StopAutomaton(stop));
    this.#includeStop = options.includeStop;
  }

  /**
   * Do not call it again after a result that has stopped.
   *
   * @param mayStop false when stop strings that complete with this piece are ordinary text
   */
  push(piece: string, mayStop = true): StopResult {
    if (this.#automata.length === 0) return { text: piece, stopped: false, stop: null };
    const text = this.#held + piece;
    for (let i = this.#held.length; i < text.length; i++) {
      let longest = 0;
      for (const automaton of this.#automata) {
        if (automaton.advance(text.charCodeAt(i))) longest = Math.max(longest, automaton.length);
      }
      if (longest > 0 && mayStop) {
        this.#held = '';
        const end = this.#includeStop ? i + 1 : i + 1 - longest;
        const stop = text.slice(i + 1 - longest, i + 1);
        return { text: text.slice(0, end), stopped: true, stop };
      }
    }
    const keep = Math.max(...this.#automata.map((automaton) => automaton.matched));
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stopped: false, stop: null };
  }

  /** Call at the end of the text: returns what was held back, which is no stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}

class StopAutomaton {
  readonly #stop: string;
  /**
   * `failure[k]`: length of the longest proper prefix of the string that is also a suffix of its
   * first k + 1 units.
   */
  readonly #failure: Uint32Array;
  #matched = 0;

  constructor(stop: string) {
    this.#stop = stop;
    this.#failure = new Uint32Array(stop.length);
    for (let i = 1, k = 0; i < stop.length; i++) {
      while (k > 0 && stop[i] !== stop[k]) k = this.#failure[k - 1];
      if (stop[i] === stop[k]) k++;
      this.#failure[i] = k;
    }
  }

  get length(): number {
    return this.#stop.length;
  }

  /** Number of units of the string that the text so far ends with. */
  get matched(): number {
    return this.#matched;
  }

  /**
   * @returns whether the string is complete with this unit; matching then continues with
   *   occurrences that overlap
   */
  advance(unit: number): boolean {
    while (this.#matched > 0 && this.#stop.charCodeAt(this.#matched) !== unit) {
      this.#matched = this.#failure[this.#matched - 1];
    }
    if (this.#stop.charCodeAt(this.#matched) === unit) this.#matched++;
    if (this.#matched < this.#stop.length) return false;
    this.#matched = this.#failure[this.#matched - 1];
    return true;
  }
}
