/** @import { Delta, ToolCall } from './chat-types.js' */
import { make } from './elements.mjs';

/** One answer as it is written: reasoning, text, tool calls, and a line of figures. All of it is text, none of it HTML. */
export class AnswerView {
  #root = make('div', 'message assistant writing');
  #text = make('div', 'text');
  /** @type {HTMLElement | null} */
  #reasoning = null;
  /** @type {{ view: HTMLElement, call: ToolCall }[]} */
  #calls = [];

  /** @param {HTMLElement} parent at whose end it appears */
  constructor(parent) {
    this.#root.append(this.#text);
    parent.append(this.#root);
  }

  get text() {
    return this.#text.textContent ?? '';
  }

  /** The calls so far, as the API wants them back. */
  get toolCalls() {
    return this.#calls.map(({ call }) => call);
  }

  /**
   * A chunk's delta.
   *
   * @param {Delta} delta
   */
  add(delta) {
    if (delta.reasoning_content) this.#addReasoning(delta.reasoning_content);
    if (delta.content) this.#text.append(delta.content);
    for (const part of delta.tool_calls ?? []) this.#addCall(part);
  }

  /** @param {string} message */
  fail(message) {
    this.#root.append(make('p', 'error', message));
  }

  /**
   * Nothing more comes.
   *
   * @param {string[]} figures
   */
  end(figures) {
    this.#root.classList.remove('writing');
    if (figures.length === 0) return;
    this.#root.append(make('p', 'stats', figures.join(' · ')));
  }

  /** @param {string} text */
  #addReasoning(text) {
    this.#reasoning ??= this.#openReasoning();
    this.#reasoning.append(text);
  }

  #openReasoning() {
    const box = make('details', 'reasoning');
    const words = make('div', '');
    box.open = true;
    box.append(make('summary', '', 'Reasoning'), words);
    this.#root.prepend(box);
    return words;
  }

  /** @param {NonNullable<Delta['tool_calls']>[number]} part */
  #addCall({ index, id = '', function: part }) {
    if (!this.#calls[index]) {
      const view = make('div', 'call');
      this.#root.append(view);
      /** @type {ToolCall} */
      const call = { id, type: 'function', function: { name: '', arguments: '' } };
      this.#calls[index] = { view, call };
    }
    const { view, call } = this.#calls[index];
    call.function.name += part?.name ?? '';
    call.function.arguments += part?.arguments ?? '';
    view.textContent = `${call.function.name}(${call.function.arguments})`;
  }
}
