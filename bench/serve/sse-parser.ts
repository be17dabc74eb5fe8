/**
 * Reads server-sent events from a byte stream (WHATWG HTML, section 9.2.6): any line ending,
 * comments, several `data` lines, a byte order mark. Chunks may be cut anywhere, also inside a
 * character or between CR and LF.
 */
export class SseParser {
  readonly #decoder = new TextDecoder();
  /** The line that is not complete yet. */
  #line = '';
  /** `data` lines of the event that is not complete yet; null before the first. */
  #data: string | null = null;
  /** The last line ended with CR: an LF that follows belongs to it. */
  #afterCr = false;

  /** @returns the data of the events that this chunk completes */
  push(chunk: Uint8Array): string[] {
    const text = this.#decoder.decode(chunk, { stream: true });
    const events: string[] = [];
    let start = 0;
    if (this.#afterCr && text !== '') {
      this.#afterCr = false;
      if (text.startsWith('\n')) start = 1;
    }
    for (let i = start; i < text.length; i++) {
      const character = text.charCodeAt(i);
      if (character !== LF && character !== CR) continue;
      const line = this.#line + text.slice(start, i);
      this.#line = '';
      if (character === CR) {
        if (i + 1 === text.length) this.#afterCr = true;
        else if (text.charCodeAt(i + 1) === LF) i++;
      }
      start = i + 1;
      const event = this.#endLine(line);
      if (event !== null) events.push(event);
    }
    this.#line += text.slice(start);
    return events;
  }

  #endLine(line: string): string | null {
    if (line === '') {
      const data = this.#data;
      this.#data = null;
      return data;
    }
    if (!line.startsWith('data')) return null;
    // `data` alone is an empty line of data; `database: x` is another field.
    if (line.length > 4 && line[4] !== ':') return null;
    const value = line.slice(line[5] === ' ' ? 6 : 5);
    this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    return null;
  }
}

const LF = 10;
const CR = 13;
