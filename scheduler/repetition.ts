import type { TokenId } from './ids.js';

/**
 * When an output that repeats itself ends: its last tokens are one pattern, written so many times
 * in a row.
 */
export interface RepetitionLimit {
  /** Tokens of a pattern; at least 1. */
  readonly minPatternSize: number;
  /** At least `minPatternSize`. */
  readonly maxPatternSize: number;
  /** At least 2. */
  readonly minCount: number;
  /** No output ends so before it has this many tokens. */
  readonly minTokens: number;
}

/**
 * Watches one output for patterns that repeat. It keeps, for each size of pattern, how many of the
 * last tokens are equal to the one that stands so many places before them: a pattern of 5 tokens is
 * there 4 times when that holds of the last 15. A token costs one comparison for each size,
 * whatever the output is like.
 */
export class RepetitionDetector {
  readonly #limit: RepetitionLimit;
  /** Index of the output's first token. */
  readonly #start: number;
  /** By size of pattern, from `minPatternSize`. */
  readonly #runs: Uint32Array;
  /** Tokens that have been looked at, the prompt's included. */
  #seen: number;

  constructor(limit: RepetitionLimit, promptTokens: number) {
    this.#limit = limit;
    this.#start = promptTokens;
    this.#seen = promptTokens;
    this.#runs = new Uint32Array(limit.maxPatternSize - limit.minPatternSize + 1);
  }

  /**
   * @param tokens prompt and output; the same as in the last call, and what came since
   * @returns whether the output ends with a repetition now
   */
  repeats(tokens: readonly TokenId[]): boolean {
    const { minPatternSize, minCount, minTokens } = this.#limit;
    let repeats = false;
    for (; this.#seen < tokens.length; this.#seen++) {
      repeats = false;
      for (let i = 0; i < this.#runs.length; i++) {
        const size = minPatternSize + i;
        const before = this.#seen - size;
        // Larger patterns reach into the prompt, too.
        if (before < this.#start) break;
        const run = tokens[before] === tokens[this.#seen] ? this.#runs[i] + 1 : 0;
        this.#runs[i] = run;
        if (run >= size * (minCount - 1)) repeats = true;
      }
    }
    return repeats && tokens.length - this.#start >= minTokens;
  }
}
