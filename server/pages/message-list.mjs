/** @import { AnswerTurn, QuestionTurn, ResultTurn, ToolCall, Turn } from './chat-types.js' */
import { AnswerView } from './answer-view.mjs';
import { make } from './elements.mjs';
import {
  actionButton,
  copyButton,
  copyCodeBlocks,
  editForm,
  resultForm,
} from './message-actions.mjs';
import { questionView } from './question-view.mjs';

/** Pixels from the end within which a reader follows an answer as it grows. */
const NEAR = 60;

/**
 * What the reader does with messages.
 *
 * @typedef {object} MessageEvents
 * @property {(text: string) => void} onEdit of the last question
 * @property {() => void} onRetry of the last answer
 * @property {(calls: readonly ToolCall[], results: readonly string[]) => void} onResults
 */

/** The turns of a conversation as messages. */
export class MessageList {
  #root;
  #events;
  #speak;
  /**
   * One for each turn; what a tool has given is shown with its call.
   *
   * @type {(HTMLElement | null)[]}
   */
  #shown = [];
  /** @type {AnswerView | null} */
  #answer = null;
  #isWriting = false;
  #follows = true;
  #growth = new ResizeObserver(() => {
    if (this.#follows) this.toEnd();
  });

  /**
   * @param {HTMLElement} root
   * @param {MessageEvents} events
   * @param {(text: string) => void} speak tells readers who do not see it what an answer says
   */
  constructor(root, events, speak) {
    this.#root = root;
    this.#events = events;
    this.#speak = speak;
    copyCodeBlocks(root);
    root.addEventListener('scroll', () => {
      this.#follows = root.scrollHeight - root.scrollTop - root.clientHeight < NEAR;
    });
  }

  /** @param {boolean} on whether an answer is being written: nothing is changed meanwhile */
  set isWriting(on) {
    this.#isWriting = on;
    this.#showLast();
  }

  toEnd() {
    this.#root.scrollTop = this.#root.scrollHeight;
  }

  /** @param {readonly Turn[]} turns instead of what is shown */
  show(turns) {
    for (const child of this.#root.querySelectorAll('.message, .edit')) child.remove();
    this.#shown = [];
    for (const [index, turn] of turns.entries()) {
      if (turn.role === 'user') this.addQuestion(turn);
      else if (turn.role === 'tool') this.addResult(turn);
      else {
        this.endAnswer(AnswerView.of(this.#root, turn), turn);
        if (turns[index + 1] === undefined) this.askForResults(turn.calls);
      }
    }
    this.toEnd();
  }

  /** @param {QuestionTurn} turn */
  addQuestion(turn) {
    const root = questionView(turn);
    const actions = make('div', 'actions');
    const edit = actionButton('Edit', () => this.#edit(root, turn.content));
    edit.classList.add('of-last');
    if (turn.content !== '') actions.append(copyButton(() => turn.content));
    actions.append(edit);
    root.append(actions);
    this.#root.append(root);
    this.#shown.push(root);
    this.#showLast();
    this.toEnd();
  }

  /** An answer that is about to be written. */
  beginAnswer() {
    const view = new AnswerView(this.#root, this.#speak);
    this.#growth.observe(view.root);
    this.#follows = true;
    this.toEnd();
    return view;
  }

  /**
   * Nothing more comes of an answer, which is a turn from now on.
   *
   * @param {AnswerView} view
   * @param {AnswerTurn} turn
   */
  endAnswer(view, turn) {
    const actions = make('div', 'actions');
    if (turn.content !== '') actions.append(copyButton(() => turn.content));
    const retry = actionButton('Retry', () => this.#events.onRetry());
    retry.classList.add('of-last');
    actions.append(retry);
    view.root.append(actions);
    this.#growth.disconnect();
    this.#answer = view;
    this.#shown.push(view.root);
    this.#showLast();
  }

  /** @param {ResultTurn} turn */
  addResult(turn) {
    this.#answer?.showResult(turn);
    this.#shown.push(null);
    this.#showLast();
  }

  /**
   * Asks the reader what the last answer's tools give.
   *
   * @param {readonly ToolCall[]} calls none: nothing is asked
   */
  askForResults(calls) {
    if (calls.length === 0 || !this.#answer) return;
    const form = resultForm(calls, (results) => {
      form.remove();
      this.#events.onResults(calls, results);
    });
    form.classList.add('of-last');
    this.#answer.root.append(form);
  }

  /**
   * Takes back a turn and what follows it.
   *
   * @param {number} index
   */
  dropFrom(index) {
    for (const root of this.#shown.splice(index)) root?.remove();
    this.#showLast();
  }

  /** Only the last question is edited, and only the last answer is tried again. */
  #showLast() {
    const roots = this.#shown.filter((root) => root !== null);
    const question = roots.findLast((root) => root.matches('.user'));
    for (const root of roots) {
      const isLast = root.matches('.user') ? root === question : root === roots.at(-1);
      root.classList.toggle('last', isLast && !this.#isWriting);
    }
  }

  /**
   * @param {HTMLElement} root
   * @param {string} text
   */
  #edit(root, text) {
    root.hidden = true;
    const close = () => {
      form.remove();
      root.hidden = false;
      root.querySelector('button')?.focus();
    };
    const form = editForm(
      text,
      (next) => {
        form.remove();
        this.#events.onEdit(next);
      },
      close,
    );
    root.after(form);
    form.querySelector('textarea')?.focus();
  }
}
