/** @import { ToolCall } from './chat-types.js' */
import { make } from './elements.mjs';

/** A tool call, folded: its name and a line of its arguments, and within it all, and the result. */
export class CallView {
  root = make('details', 'call');
  #name = make('b', '');
  #line = make('span', '');
  #arguments = make('pre', '');
  /** @type {ToolCall} */
  call;

  /** @param {string} id */
  constructor(id) {
    this.call = { id, type: 'function', function: { name: '', arguments: '' } };
    const summary = make('summary', '');
    summary.append(this.#name, ' ', this.#line);
    this.#arguments.tabIndex = 0;
    this.#arguments.ariaLabel = 'Arguments';
    this.#arguments.role = 'group';
    this.root.append(summary, this.#arguments);
  }

  /**
   * What a chunk says of it.
   *
   * @param {{ readonly name?: string, readonly arguments?: string }} part
   */
  add({ name = '', arguments: text = '' }) {
    const { call } = this;
    call.function.name += name;
    call.function.arguments += text;
    this.#name.textContent = call.function.name;
    this.#line.textContent = call.function.arguments;
    this.#arguments.textContent = call.function.arguments;
  }

  /** @param {string} content what the tool has given */
  showResult(content) {
    const { name, arguments: text } = this.call.function;
    this.#line.textContent = `${text} → ${content}`;
    const result = make('pre', 'given', content);
    result.tabIndex = 0;
    result.role = 'group';
    result.ariaLabel = `What ${name} gave`;
    this.root.append(result);
  }
}
