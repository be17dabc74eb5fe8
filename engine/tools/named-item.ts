import type { CallItem } from './call-bodies.js';
import type { CallState } from './call-object.js';
import { JsonValueScanner } from './json-value-scanner.js';
import type { ToolEvents } from './tool-events.js';
import { FUNCTION_NAME } from './tool-format.js';

/** One call as an object whose only key is the function's name: `{"get_weather": {...}}`. */
export class NamedItem implements CallItem {
  readonly #events: ToolEvents;
  readonly #arguments = new JsonValueScanner();
  #state: 'head' | 'arguments' | 'end' = 'head';
  #raw = '';

  constructor(events: ToolEvents) {
    this.#events = events;
  }

  get begun(): boolean {
    return this.#state !== 'head';
  }

  get raw(): string {
    return this.#raw;
  }

  push(char: string): CallState {
    switch (this.#state) {
      case 'head':
        return this.#head(char);
      case 'arguments':
        this.#events.arguments(char);
        if (this.#arguments.push(char) === 'last') this.#state = 'end';
        return 'open';
      case 'end':
        if (char === '}') return 'done';
        return /\s/.test(char) ? 'open' : 'malformed';
    }
  }

  /** Up to the bracket that opens the arguments. */
  #head(char: string): CallState {
    if (char === '{' && this.#raw !== '') {
      const name = /^\{\s*"([^"]*)"\s*:\s*$/.exec(this.#raw)?.[1] ?? '';
      if (!FUNCTION_NAME.test(name)) return 'malformed';
      this.#events.call(name);
      this.#state = 'arguments';
      return this.push(char);
    }
    if (!/^\{\s*(?:"[^"]*(?:"\s*:?\s*)?)?$/.test(this.#raw + char)) return 'malformed';
    this.#raw += char;
    return 'open';
  }
}
