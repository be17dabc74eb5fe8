const QUOTES = '"""';
/** What may stand before the quotes. */
const BEFORE = /^(?:\/set system\s+)?$/;

/**
 * Joins typed lines to messages: text between `"""` and `"""` is one, and so is a line that ends
 * with a backslash with the next one.
 */
export class LineJoiner {
  #parts: string[] = [];
  #isQuoted = false;
  /** A command before the quotes. */
  #before = '';

  /** Whether the next line belongs to the same message. */
  get isOpen(): boolean {
    return this.#isQuoted || this.#parts.length > 0;
  }

  /** @returns the message that ends with this line; null when it goes on */
  add(line: string): string | null {
    if (this.#isQuoted) return this.#addQuoted(line);
    const at = this.#parts.length === 0 ? line.indexOf(QUOTES) : -1;
    if (at >= 0 && BEFORE.test(line.slice(0, at))) {
      this.#isQuoted = true;
      this.#before = line.slice(0, at);
      return this.#addQuoted(line.slice(at + QUOTES.length));
    }
    if (line.endsWith('\\')) {
      this.#parts.push(line.slice(0, -1));
      return null;
    }
    return this.#finish(line);
  }

  #addQuoted(line: string): string | null {
    const end = line.indexOf(QUOTES);
    if (end >= 0) return this.#finish(line.slice(0, end)).replace(/\n$/, '');
    this.#parts.push(line);
    return null;
  }

  #finish(last: string): string {
    const message = this.#before + [...this.#parts, last].join('\n').replace(/^\n/, '');
    this.#parts = [];
    this.#isQuoted = false;
    this.#before = '';
    return message;
  }
}
