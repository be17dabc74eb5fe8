import { MarkerScanner } from '../text/marker-scanner.js';
import type { CallState } from './call-object.js';
import { ToolEvents } from './tool-events.js';
import type { ToolCallParser, ToolEvent } from './tool-format.js';

/** Reads what stands between two markers, one call or several, and passes on its events. */
export interface CallBody {
  /** Whether a call has been passed on, so that the text can no longer become content. */
  readonly begun: boolean;
  /** All text read so far, while no call has begun. */
  readonly raw: string;
  /** After `malformed`, the character was not consumed: it belongs to the following text. */
  push(char: string): CallState;
  /** Ends a call in which the text ends; call it once `begun`. */
  end(): void;
}

export interface MarkedForm {
  readonly open: string;
  /** Empty: nothing follows a body. */
  readonly close: string;
  /** Characters before the closing marker that belong to it, besides white space. */
  readonly beforeClose?: string;
  createBody(events: ToolEvents): CallBody;
}

/**
 * Reads texts in which markers surround calls: `text <open> body <close> text`. The closing marker
 * may be missing.
 */
export class MarkedParser implements ToolCallParser {
  readonly #form: MarkedForm;
  readonly #events = new ToolEvents();
  readonly #open: MarkerScanner;
  readonly #close: MarkerScanner | null;
  #state: 'text' | 'body' | 'closing' = 'text';
  #body: CallBody;
  /** The marker before the body; it becomes content if the body is no call. */
  #lead = '';
  #bodies = 0;

  constructor(form: MarkedForm) {
    this.#form = form;
    this.#open = new MarkerScanner(form.open);
    this.#close = form.close === '' ? null : new MarkerScanner(form.close);
    this.#body = form.createBody(this.#events);
  }

  push(piece: string): ToolEvent[] {
    for (const char of piece) this.#take(char);
    return this.#events.take();
  }

  flush(): ToolEvent[] {
    switch (this.#state) {
      case 'text': {
        const held = this.#open.flush();
        // White space after the last call is not content.
        if (this.#bodies === 0 || held.trim() !== '') this.#events.content(held);
        break;
      }
      case 'body':
        if (this.#body.begun) this.#body.end();
        else this.#events.content(this.#lead + this.#body.raw);
        break;
      case 'closing':
        this.#close?.flush();
        break;
    }
    return this.#events.take();
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'text':
        return this.#takeText(char);
      case 'body':
        return this.#takeBody(char);
      case 'closing':
        return this.#takeClosing(char);
    }
  }

  #takeText(char: string): void {
    const text = this.#open.push(char);
    if (text !== null) return this.#events.content(text);
    this.#lead = this.#open.found;
    this.#body = this.#form.createBody(this.#events);
    this.#state = 'body';
  }

  #takeBody(char: string): void {
    const state = this.#body.push(char);
    if (state === 'open') return;
    if (this.#body.begun) {
      if (state === 'malformed') this.#body.end();
      this.#bodies++;
      this.#state = this.#close === null ? 'text' : 'closing';
    } else {
      this.#events.content(this.#lead + this.#body.raw);
      this.#state = 'text';
    }
    if (state === 'malformed') this.#take(char);
  }

  #takeClosing(char: string): void {
    if (this.#form.beforeClose?.includes(char) === true) return;
    const text = this.#close?.push(char) ?? null;
    if (text === '') return;
    this.#state = 'text';
    // The closing marker may be missing; then the text in its place is content, or the next call.
    if (text !== null) for (const missed of text + this.#close?.flush()) this.#take(missed);
  }
}
