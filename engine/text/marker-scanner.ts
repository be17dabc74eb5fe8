const isSpace = (char: string): boolean => /\s/.test(char);

/**
 * Finds a marker such as `<tool_call>` in a text that arrives character by character. Holds back
 * white space and a following prefix of the marker: white space before a marker belongs to the
 * marker.
 *
 * The marker's first character must not occur in it again, so that a mismatch cannot hide another
 * occurrence.
 */
export class MarkerScanner {
  readonly #marker: string;
  #space = '';
  #matched = 0;
  #found = '';

  constructor(marker: string) {
    this.#marker = marker;
  }

  /** The last marker found, with the white space before it, exactly as in the text. */
  get found(): string {
    return this.#found;
  }

  /**
   * @returns text that is not part of a marker; null when the marker is complete, after which the
   *   scanner starts over
   */
  push(char: string): string | null {
    if (char === this.#marker[this.#matched]) {
      this.#matched++;
      if (this.#matched < this.#marker.length) return '';
      this.#found = this.flush();
      return null;
    }
    if (this.#matched > 0) return this.flush() + (this.push(char) ?? '');
    if (isSpace(char)) {
      this.#space += char;
      return '';
    }
    return this.flush() + char;
  }

  /** Returns the text that is held back. */
  flush(): string {
    const held = this.#space + this.#marker.slice(0, this.#matched);
    this.#space = '';
    this.#matched = 0;
    return held;
  }
}
