const isSpace = (char: string): boolean => /\s/.test(char);

/**
 * Finds a marker such as `<tool_call>` in a text that comes character by character. Held back is a
 * run of white space and a beginning of the marker behind it: white space before a marker belongs
 * to the marker.
 *
 * The marker's first character must not occur in it again: then a mismatch never hides another
 * beginning.
 */
export class MarkerScanner {
  readonly #marker: string;
  #space = '';
  #matched = 0;
  #found = '';

  constructor(marker: string) {
    this.#marker = marker;
  }

  /** The last marker with the white space before it, as it stood in the text. */
  get found(): string {
    return this.#found;
  }

  /**
   * @returns text that is no part of a marker; null once the marker is complete: the scanner then
   *   begins anew
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

  /** What is held back. */
  flush(): string {
    const held = this.#space + this.#marker.slice(0, this.#matched);
    this.#space = '';
    this.#matched = 0;
    return held;
  }
}
