/** One answer as it is written: reasoning, text, tool calls, and a line of figures. All of it is text, none of it HTML. */
export class AnswerView {
  #root = make('div', 'message assistant writing');
  #text = make('div', 'text');
  #reasoning = null;
  #calls = [];

  /** @param parent at whose end it appears; kept in sight while the reader is there */
  constructor(parent) {
    this.#root.append(this.#text);
    parent.append(this.#root);
  }

  get text() {
    return this.#text.textContent;
  }

  /** The calls so far, as the API wants them back. */
  get toolCalls() {
    return this.#calls.map(({ call }) => call);
  }

  /** A chunk's delta. */
  add(delta) {
    if (delta.reasoning_content) this.#addReasoning(delta.reasoning_content);
    if (delta.content) this.#text.append(delta.content);
    for (const part of delta.tool_calls ?? []) this.#addCall(part);
  }

  fail(message) {
    const line = make('p', 'error');
    line.textContent = message;
    this.#root.append(line);
  }

  /** Nothing more comes. */
  end(figures) {
    this.#root.classList.remove('writing');
    if (figures.length === 0) return;
    const line = make('p', 'stats');
    line.textContent = figures.join(' · ');
    this.#root.append(line);
  }

  #addReasoning(text) {
    if (!this.#reasoning) {
      const box = make('details', 'reasoning');
      const summary = make('summary', '');
      summary.textContent = 'Reasoning';
      this.#reasoning = make('div', '');
      box.open = true;
      box.append(summary, this.#reasoning);
      this.#root.prepend(box);
    }
    this.#reasoning.append(text);
  }

  #addCall({ index, id, function: part }) {
    if (!this.#calls[index]) {
      const view = make('div', 'call');
      this.#root.append(view);
      const call = { id, type: 'function', function: { name: '', arguments: '' } };
      this.#calls[index] = { view, call };
    }
    const { view, call } = this.#calls[index];
    call.function.name += part?.name ?? '';
    call.function.arguments += part?.arguments ?? '';
    view.textContent = `${call.function.name}(${call.function.arguments})`;
  }
}

export function make(tag, className) {
  const node = document.createElement(tag);
  node.className = className;
  return node;
}
