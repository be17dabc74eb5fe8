import { CallObject, type CallState } from './call-object.js';
import type { CallBody } from './marked-parser.js';
import type { ToolEvents } from './tool-events.js';
import { FUNCTION_NAME } from './tool-format.js';

const isFunctionName = (name: string): boolean => FUNCTION_NAME.test(name);

/** One call as an object: `{"name": "...", "arguments": {...}}`. */
export class ObjectBody implements CallBody {
  readonly #events: ToolEvents;
  readonly #call: CallObject;

  constructor(events: ToolEvents) {
    this.#events = events;
    this.#call = new CallObject(events, isFunctionName);
  }

  get begun(): boolean {
    return this.#call.begun;
  }

  get raw(): string {
    return this.#call.raw;
  }

  push(char: string): CallState {
    // JSON has this character only in strings: the model has closed a call whose brackets do not
    // match.
    const broken = char === '<' && this.#call.begun && !this.#call.inString;
    const state = broken ? 'malformed' : this.#call.push(char);
    if (state === 'done') this.end();
    return state;
  }

  end(): void {
    this.#events.end();
  }
}

/** How the items of a list are read, `CallObject` for one. */
export interface CallItem {
  readonly begun: boolean;
  readonly raw: string;
  push(char: string): CallState;
}

/** A list of calls: `[{...}, {...}]`; a single one may stand without its brackets. */
export class ListBody implements CallBody {
  readonly #events: ToolEvents;
  readonly #newItem: () => CallItem;
  #state: 'before' | 'between' | 'item' | 'single' = 'before';
  #item: CallItem;
  #calls = 0;
  /** Text outside of items, while no call has begun. */
  #raw = '';

  constructor(
    events: ToolEvents,
    newItem: () => CallItem = () => new CallObject(events, isFunctionName),
  ) {
    this.#events = events;
    this.#newItem = newItem;
    this.#item = newItem();
  }

  get begun(): boolean {
    return this.#calls > 0 || this.#item.begun;
  }

  get raw(): string {
    return this.#raw + (this.#isInItem ? this.#item.raw : '');
  }

  get #isInItem(): boolean {
    return this.#state === 'item' || this.#state === 'single';
  }

  push(char: string): CallState {
    if (this.#isInItem) return this.#pushToItem(char);
    if (char === '{') {
      this.#state = this.#state === 'before' ? 'single' : 'item';
      this.#item = this.#newItem();
      return this.#pushToItem(char);
    }
    if (char === ']' && this.#calls > 0) return 'done';
    const fits = /\s/.test(char) || char === (this.#state === 'before' ? '[' : ',');
    if (!fits) return 'malformed';
    if (char === '[') this.#state = 'between';
    this.#raw += char;
    return 'open';
  }

  end(): void {
    if (this.#isInItem && this.#item.begun) this.#events.end();
    else if (this.#isInItem) this.#events.content(this.#item.raw);
  }

  #pushToItem(char: string): CallState {
    const state = this.#item.push(char);
    if (state !== 'done') return state;
    this.#events.end();
    this.#calls++;
    const isSingle = this.#state === 'single';
    this.#state = 'between';
    return isSingle ? 'done' : 'open';
  }
}
