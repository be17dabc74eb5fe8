import { jsonOf, PYTHON_WORDS } from './argument-writer.js';
import type { Place } from './json-value-scanner.js';

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  '\n': '',
};
const BRACKETS: Readonly<Record<string, string>> = { '(': '[', ')': ']' };

/**
 * Translates one literal of Python to JSON, character by character: quotes of both kinds, `True`,
 * `False`, `None`, lists, tuples and dictionaries.
 */
export class PythonValue {
  readonly #write: (json: string) => void;
  #depth = 0;
  /** The quote that ends the string; empty outside of strings. */
  #quote = '';
  /** What was read of an escape in a string, with its backslash. */
  #escape = '';
  #word = '';
  /** A comma is written with what follows it: Python allows one before a closing bracket. */
  #comma = '';
  #begun = false;

  constructor(write: (json: string) => void) {
    this.#write = write;
  }

  push(char: string): Place {
    if (this.#quote !== '') return this.#inString(char);
    if (/[\w.+-]/.test(char)) {
      this.#begun = true;
      this.#word += char;
      return 'inside';
    }
    const hadWord = this.#word !== '';
    this.#endWord();
    if (this.#depth === 0 && hadWord) return 'behind';
    if (char === '"' || char === "'") {
      this.#separate();
      this.#begun = true;
      this.#quote = char;
      this.#write('"');
      return 'inside';
    }
    return this.#bracket(char);
  }

  #bracket(char: string): Place {
    switch (char) {
      case '[':
      case '(':
      case '{':
        this.#separate();
        this.#begun = true;
        this.#depth++;
        this.#write(BRACKETS[char] ?? char);
        return 'inside';
      case ']':
      case ')':
      case '}':
        if (this.#depth === 0) return 'malformed';
        this.#comma = '';
        this.#write(BRACKETS[char] ?? char);
        return --this.#depth === 0 ? 'last' : 'inside';
      case ',':
        if (this.#depth === 0) return 'malformed';
        this.#comma = ', ';
        return 'inside';
      case ':':
        if (this.#depth === 0) return 'malformed';
        this.#write(': ');
        return 'inside';
      default:
        return /\s/.test(char) && (this.#depth > 0 || !this.#begun) ? 'inside' : 'malformed';
    }
  }

  #inString(char: string): Place {
    if (this.#escape !== '') {
      this.#escape += char;
      this.#unescape();
      return 'inside';
    }
    if (char === '\\') this.#escape = char;
    else if (char === this.#quote) {
      this.#quote = '';
      this.#write('"');
      return this.#depth === 0 ? 'last' : 'inside';
    } else this.#text(char);
    return 'inside';
  }

  #unescape(): void {
    const [, kind, ...digits] = this.#escape;
    const length = { x: 2, u: 4, U: 8 }[kind] ?? 0;
    if (digits.length < length && /^[\da-f]*$/i.test(digits.join(''))) return;
    const code = Number.parseInt(digits.join(''), 16);
    if (length === 0) this.#text(ESCAPES[kind] ?? (/["'\\]/.test(kind) ? kind : this.#escape));
    else if (digits.length === length && code <= 0x10ffff) this.#text(String.fromCodePoint(code));
    else this.#text(this.#escape);
    this.#escape = '';
  }

  #text(text: string): void {
    this.#write(JSON.stringify(text).slice(1, -1));
  }

  #endWord(): void {
    if (this.#word === '') return;
    this.#separate();
    const number = Number(this.#word.replaceAll('_', ''));
    const isNumber = Number.isFinite(number) && /^[+-]?[\d.]/.test(this.#word);
    const isJson = isNumber && jsonOf(this.#word) === this.#word;
    this.#write(
      PYTHON_WORDS.get(this.#word) ?? (isNumber && !isJson ? String(number) : jsonOf(this.#word)),
    );
    this.#word = '';
  }

  #separate(): void {
    this.#write(this.#comma);
    this.#comma = '';
  }
}
