import type { CallState } from './call-object.js';
import type { CallBody } from './marked-parser.js';
import type { ToolEvents } from './tool-events.js';

/** What readers of bodies have in common: the text before the first call, and calls' ends. */
export abstract class BodyReader implements CallBody {
  protected readonly events: ToolEvents;
  #raw = '';
  #begun = false;
  #open = false;

  constructor(events: ToolEvents) {
    this.events = events;
  }

  get begun(): boolean {
    return this.#begun;
  }

  get raw(): string {
    return this.#raw;
  }

  push(char: string): CallState {
    const state = this.advance(char);
    if (state === 'malformed') {
      if (this.#begun) this.giveUp();
    } else if (!this.#begun) this.#raw += char;
    return state;
  }

  end(): void {
    if (this.#open) this.events.end();
    this.#open = false;
  }

  /** Passes on that a call begins. */
  protected begin(name: string): void {
    this.#begun = true;
    this.#open = true;
    this.events.call(name);
  }

  /** Takes a character; see `CallBody.push`. */
  protected abstract advance(char: string): CallState;

  /** Called when a text that has begun is malformed: what was held back of it becomes content. */
  protected giveUp(): void {
    this.end();
  }
}
