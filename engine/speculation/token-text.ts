import type { TokenId } from '../../scheduler/ids.js';

/** Earlier places that one search compares: a text of few words has very many that begin alike. */
const MOST_CANDIDATES = 32;
/** Initial room, in tokens. */
const ROOM = 256;

/** A place in a text behind which it may go on as the searched tokens do. */
export interface TextMatch {
  /** Index of the first token behind the match. */
  readonly end: number;
  /** Number of tokens before it that are equal. */
  readonly length: number;
}

/**
 * A growing text of tokens in which the places are found that end like another text: chains of
 * places with equal last tokens, the latest first, as LZ77 finds repetitions (Deutsch 1996, RFC
 * 1951, section 4).
 *
 * Appending costs O(1) a token, a search O(candidates x length of the match). Memory: 8 bytes and
 * at most one entry of a map for each token.
 */
export class TokenText {
  readonly #least: number;
  #tokens = new Int32Array(ROOM);
  /** `[length]` the place before with the same hash of its last `#least` tokens; -1: none. */
  #earlier = new Int32Array(ROOM);
  /** The latest place of each hash. */
  readonly #latest = new Map<number, number>();
  #length = 0;

  /** @param least number of equal tokens that make a match */
  constructor(least: number) {
    this.#least = least;
  }

  get length(): number {
    return this.#length;
  }

  append(tokenIds: readonly TokenId[]): void {
    this.#grow(this.#length + tokenIds.length);
    for (const token of tokenIds) {
      this.#tokens[this.#length++] = token;
      if (this.#length < this.#least) continue;
      const hash = this.#hash(this.#tokens, this.#length);
      this.#earlier[this.#length - 1] = this.#latest.get(hash) ?? -1;
      this.#latest.set(hash, this.#length - 1);
    }
  }

  /** At most `count` tokens from `start` on; the caller owns them. */
  slice(start: number, count: number): TokenId[] {
    const end = Math.min(this.#length, start + count);
    return Array.from(this.#tokens.subarray(start, end)) as TokenId[];
  }

  /**
   * The place that ends with most of the last tokens of `text`, the latest among equals.
   *
   * @param longest number of tokens that are compared
   * @returns null when no place with something behind it ends with `least` of them
   */
  find(text: TokenText, longest: number): TextMatch | null {
    if (text.#length < this.#least) return null;
    let place = this.#latest.get(this.#hash(text.#tokens, text.#length)) ?? -1;
    let best: TextMatch | null = null;
    for (let tried = 0; place >= 0 && tried < MOST_CANDIDATES; tried++) {
      const length = place + 1 < this.#length ? this.#equalBefore(place + 1, text, longest) : 0;
      // Another hash, or the end of this very text, gives less.
      if (length >= this.#least && length > (best?.length ?? 0)) best = { end: place + 1, length };
      if (best?.length === longest) break;
      place = this.#earlier[place];
    }
    return best;
  }

  /** Number of equal tokens before `end` here and before the end of `text`. */
  #equalBefore(end: number, text: TokenText, longest: number): number {
    const most = Math.min(end, text.#length, longest);
    let length = 0;
    while (
      length < most &&
      this.#tokens[end - 1 - length] === text.#tokens[text.#length - 1 - length]
    ) {
      length += 1;
    }
    return length;
  }

  /** Of the last `#least` tokens before `end`. */
  #hash(tokens: Int32Array, end: number): number {
    let hash = 0;
    for (let i = end - this.#least; i < end; i++)
      hash = (Math.imul(hash, 0x9e3779b1) + tokens[i]) | 0;
    return hash;
  }

  #grow(length: number): void {
    if (length <= this.#tokens.length) return;
    const room = Math.max(length, 2 * this.#tokens.length);
    const [tokens, earlier] = [new Int32Array(room), new Int32Array(room).fill(-1)];
    tokens.set(this.#tokens);
    earlier.set(this.#earlier);
    this.#tokens = tokens;
    this.#earlier = earlier;
  }
}
