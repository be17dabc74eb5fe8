import { JsonValueScanner } from './json-value-scanner.js';
import type { ToolEvents } from './tool-events.js';

/** Keys under which models write the arguments. */
const ARGUMENT_KEYS: ReadonlySet<unknown> = new Set(['arguments', 'parameters']);

/** Whether the object is incomplete, complete, or no call. */
export type CallState = 'open' | 'done' | 'malformed';

type Expected = 'object' | 'firstKey' | 'key' | 'colon' | 'value' | 'comma';

/**
 * Reads one call in its most common form, `{"name": "...", "arguments": {...}}`, character by
 * character. The call begins as soon as its name and the first character of its arguments are
 * known, in either order; other keys are skipped. Arguments may be an object, or a string that
 * contains one (some models quote it).
 */
export class CallObject {
  readonly #events: ToolEvents;
  readonly #isName: (name: string) => boolean;
  #expected: Expected = 'object';
  /** The value or key that is being read, and its text if it is needed. */
  #scanner: JsonValueScanner | null = null;
  #text = '';
  #key: unknown = null;
  #name: string | null = null;
  /** Arguments that precede the name. */
  #early: string | null = null;
  #begun = false;
  /** Whether the value being read is the arguments of a call that has begun. */
  #streaming = false;
  #raw = '';

  /** @param isName tells which names are names of functions */
  constructor(events: ToolEvents, isName: (name: string) => boolean) {
    this.#events = events;
    this.#isName = isName;
  }

  /** Whether the call has been passed on, so that it can no longer become content. */
  get begun(): boolean {
    return this.#begun;
  }

  /** All text read so far, while the call has not begun. */
  get raw(): string {
    return this.#raw;
  }

  get inString(): boolean {
    return this.#scanner?.inString === true;
  }

  /** After `malformed`, the character was not consumed: it belongs to the following text. */
  push(char: string): CallState {
    const state = this.#advance(char);
    if (state !== 'malformed' && !this.#begun) this.#raw += char;
    return state;
  }

  #advance(char: string): CallState {
    if (this.#scanner) {
      const place = this.#scanner.push(char);
      if (place === 'inside' || place === 'last') {
        this.#read(char);
        return place === 'inside' || this.#endValue() ? 'open' : 'malformed';
      }
      if (!this.#endValue()) return 'malformed';
    }
    if (/\s/.test(char)) return 'open';
    switch (this.#expected) {
      case 'object':
        return this.#step(char === '{', 'firstKey');
      case 'firstKey':
        return char === '}' ? this.#close() : this.#begin(char, char === '"');
      case 'key':
        return this.#begin(char, char === '"');
      case 'colon':
        return this.#step(char === ':', 'value');
      case 'value':
        return this.#begin(char, this.#accepts(char));
      case 'comma':
        return char === '}' ? this.#close() : this.#step(char === ',', 'key');
    }
  }

  #step(fits: boolean, next: Expected): CallState {
    if (!fits) return 'malformed';
    this.#expected = next;
    return 'open';
  }

  /** The first character of a key or value. */
  #begin(char: string, fits: boolean): CallState {
    this.#scanner = new JsonValueScanner();
    if (!fits || this.#scanner.push(char) === 'malformed') return 'malformed';
    this.#text = '';
    if (this.#expected === 'value' && this.#streams(char)) this.#announce();
    this.#read(char);
    return 'open';
  }

  #accepts(char: string): boolean {
    if (this.#key === 'name') return char === '"' && this.#name === null;
    return !this.#isArguments() || char === '{' || char === '"' || char === 'n';
  }

  /** A second set of arguments is skipped like any other key. */
  #isArguments(): boolean {
    return ARGUMENT_KEYS.has(this.#key) && !this.#begun && this.#early === null;
  }

  #streams(char: string): boolean {
    return this.#isArguments() && this.#name !== null && char === '{';
  }

  #announce(): void {
    this.#begun = true;
    this.#streaming = true;
    this.#events.call(this.#name ?? '');
  }

  #read(char: string): void {
    if (this.#streaming) this.#events.arguments(char);
    else if (!this.#begun) this.#text += char;
  }

  /** @returns whether the value is valid there */
  #endValue(): boolean {
    this.#scanner = null;
    if (this.#streaming) {
      this.#streaming = false;
      this.#expected = 'comma';
      return true;
    }
    if (this.#expected === 'value') {
      this.#expected = 'comma';
      return this.#begun || this.#keep();
    }
    this.#expected = 'colon';
    this.#key = this.#begun ? null : parse(this.#text);
    return this.#key !== undefined;
  }

  /** Stores a value that belongs to the call. */
  #keep(): boolean {
    if (this.#key === 'name') {
      const name = parse(this.#text);
      if (typeof name !== 'string' || !this.#isName(name)) return false;
      this.#name = name;
      if (this.#early !== null) this.#pass(this.#early);
      return true;
    }
    if (!this.#isArguments()) return true;
    const value = this.#text.startsWith('{') ? this.#text : parse(this.#text);
    if (value !== null && typeof value !== 'string') return false;
    const text = value ?? '{}';
    if (this.#name === null) this.#early = text;
    else this.#pass(text);
    return true;
  }

  /** Passes on a call whose arguments are already known. */
  #pass(text: string): void {
    this.#announce();
    this.#streaming = false;
    this.#events.arguments(text);
  }

  #close(): CallState {
    if (this.#name === null) return 'malformed';
    if (!this.#begun) this.#pass('{}');
    return 'done';
  }
}

/** @returns undefined when the text is no JSON */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
