/** @import { AnswerTurn, Delta, ResultTurn } from './chat-types.js' */
import { CallView } from './call-view.mjs';
import { make } from './elements.mjs';
import { showMarkdown } from './markdown.mjs';

/**
 * One answer, while it is written and afterwards: reasoning, folded; text; tool calls, folded; and
 * a line of figures.
 */
export class AnswerView {
  root = make('article', 'message assistant writing');
  #text = make('div', 'text');
  #wait = make('p', 'stats');
  #source = '';
  #scheduled = false;
  /** Milliseconds that the text took to show. */
  #cost = 0;
  /** @type {{ title: HTMLElement, text: Text, start: number, end: number } | null} */
  #reasoning = null;
  #reasoningMs = 0;
  /** @type {CallView[]} */
  #calls = [];
  /** @type {string | null} */
  #error = null;
  #speak;
  /** Blocks that were spoken. */
  #spoken = 0;

  /**
   * @param {HTMLElement} parent at whose end it appears
   * @param {(text: string) => void} [speak] is told each block of the text when it is complete
   */
  constructor(parent, speak = () => undefined) {
    this.#speak = speak;
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
  static of(parent, { content, reasoning, reasoningMs, calls, figures, error }) {
    const view = new AnswerView(parent);
    view.add({
      content,
      reasoning_content: reasoning,
      tool_calls: calls.map((call, index) => ({ ...call, index })),
    });
    view.#reasoningMs = reasoningMs;
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
      reasoning: this.#reasoning?.text.data ?? '',
      reasoningMs: this.#reasoningMs,
      calls: this.#calls.map(({ call }) => call),
      figures,
      error: this.#error,
    };
  }

  /** @param {string} words what the answer waits for; gone when it begins */
  wait(words) {
    this.#wait.textContent = words;
    this.root.prepend(this.#wait);
  }

  /**
   * A chunk's delta.
   *
   * @param {Delta} delta
   */
  add(delta) {
    this.#wait.remove();
    if (delta.reasoning_content) this.#addReasoning(delta.reasoning_content);
    if (delta.content) {
      this.#endReasoning();
      this.#source += delta.content;
      this.#schedule();
    }
    for (const { index, id = '', function: part } of delta.tool_calls ?? []) {
      this.#endReasoning();
      if (!this.#calls[index]) {
        this.#calls[index] = new CallView(id);
        this.root.append(this.#calls[index].root);
      }
      this.#calls[index].add(part ?? {});
    }
  }

  /** @param {ResultTurn} turn */
  showResult({ callId, content }) {
    this.#calls.find(({ call }) => call.id === callId)?.showResult(content);
  }

  /** @param {string} message */
  fail(message) {
    this.#error = message;
    const note = make('p', 'error', message);
    note.role = 'alert';
    this.root.append(note);
  }

  /**
   * Nothing more comes.
   *
   * @param {readonly string[]} figures
   */
  end(figures) {
    this.#wait.remove();
    this.#endReasoning();
    this.root.classList.remove('writing');
    this.#show();
    if (figures.length > 0) this.root.append(make('p', 'stats', figures.join(' · ')));
  }

  /**
   * Tokens come faster than a screen shows them; and what a long text takes (40 ms for 100 kB) must
   * leave the page time for all else.
   */
  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setTimeout(() => {
      requestAnimationFrame(() => {
        this.#scheduled = false;
        const start = performance.now();
        this.#show();
        this.#cost = performance.now() - start;
      });
    }, 2 * this.#cost);
  }

  #show() {
    showMarkdown(this.#text, this.#source);
    const blocks = this.#text.children;
    // The last one may go on.
    const complete = this.root.matches('.writing') ? blocks.length - 1 : blocks.length;
    for (; this.#spoken < complete; this.#spoken++) {
      const block = blocks[this.#spoken];
      this.#speak(block.matches('.code') ? 'A block of code.' : (block.textContent ?? ''));
    }
  }

  /** @param {string} text */
  #addReasoning(text) {
    this.#reasoning ??= this.#openReasoning();
    this.#reasoning.text.appendData(text);
    this.#reasoning.end = performance.now();
  }

  #openReasoning() {
    const box = make('details', 'reasoning');
    const title = make('summary', '', 'Reasoning …');
    const text = new Text();
    const words = make('div', '');
    words.append(text);
    box.append(title, words);
    this.root.prepend(box);
    const start = performance.now();
    return { title, text, start, end: start };
  }

  #endReasoning() {
    if (!this.#reasoning) return;
    const { title, start, end } = this.#reasoning;
    this.#reasoningMs ||= end - start;
    title.textContent =
      this.#reasoningMs >= 100
        ? `Reasoned for ${(this.#reasoningMs / 1000).toFixed(1)} s`
        : 'Reasoning';
  }
}
