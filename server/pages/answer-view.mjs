/** @import { AnswerTurn, Delta, ToolCall } from './chat-types.js' */
import { make } from './elements.mjs';
import { showMarkdown } from './markdown.mjs';

/**
 * One answer, while it is written and afterwards: reasoning, text, tool calls, and a line of
 * figures.
 */
export class AnswerView {
  root = make('article', 'message assistant writing');
  #text = make('div', 'text');
  #source = '';
  #scheduled = false;
  /** @type {HTMLElement | null} */
  #reasoning = null;
  /** @type {{ view: HTMLElement, call: ToolCall }[]} */
  #calls = [];
  /** @type {string | null} */
  #error = null;

  /** @param {HTMLElement} parent at whose end it appears */
  constructor(parent) {
    this.root.ariaLabel = 'Answer';
    this.root.append(this.#text);
    parent.append(this.root);
  }

  /**
   * One that was written before.
   *
   * @param {HTMLElement} parent
   * @param {AnswerTurn} turn
   */
  static of(parent, { content, reasoning, calls, figures, error }) {
    const view = new AnswerView(parent);
    view.add({
      content,
      reasoning_content: reasoning,
      tool_calls: calls.map((call, index) => ({ ...call, index })),
    });
    if (error !== null) view.fail(error);
    view.end(figures);
    return view;
  }

  /**
   * @param {readonly string[]} figures
   * @returns {AnswerTurn}
   */
  turn(figures) {
    return {
      role: 'assistant',
      content: this.#source,
      reasoning: this.#reasoning?.textContent ?? '',
      calls: this.#calls.map(({ call }) => call),
      figures,
      error: this.#error,
    };
  }

  /**
   * A chunk's delta.
   *
   * @param {Delta} delta
   */
  add(delta) {
    if (delta.reasoning_content) this.#addReasoning(delta.reasoning_content);
    if (delta.content) {
      this.#source += delta.content;
      this.#schedule();
    }
    for (const part of delta.tool_calls ?? []) this.#addCall(part);
  }

  /** @param {string} message */
  fail(message) {
    this.#error = message;
    this.root.append(make('p', 'error', message));
  }

  /**
   * Nothing more comes.
   *
   * @param {readonly string[]} figures
   */
  end(figures) {
    showMarkdown(this.#text, this.#source);
    this.root.classList.remove('writing');
    if (figures.length === 0) return;
    this.root.append(make('p', 'stats', figures.join(' · ')));
  }

  /** Tokens come faster than a screen shows them. */
  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      showMarkdown(this.#text, this.#source);
    });
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
    this.root.prepend(box);
    return words;
  }

  /** @param {NonNullable<Delta['tool_calls']>[number]} part */
  #addCall({ index, id = '', function: part }) {
    if (!this.#calls[index]) {
      const view = make('div', 'call');
      this.root.append(view);
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
