import type { ToolEvent } from './tool-format.js';

/** Collects the events of one push; adjacent events of the same kind are joined. */
export class ToolEvents {
  #events: ToolEvent[] = [];

  content(text: string): void {
    this.#append('content', text);
  }

  call(name: string): void {
    this.#events.push({ kind: 'call', name });
  }

  arguments(text: string): void {
    this.#append('arguments', text);
  }

  end(): void {
    this.#events.push({ kind: 'end' });
  }

  /** Returns the events since the last call. */
  take(): ToolEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #append(kind: 'content' | 'arguments', text: string): void {
    if (text === '') return;
    const last = this.#events.at(-1);
    if (last?.kind === kind)
      this.#events[this.#events.length - 1] = { kind, text: last.text + text };
    else this.#events.push({ kind, text });
  }
}
