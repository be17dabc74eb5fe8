/** @import { Attachment, QuestionTurn, Run, ToolCall } from './chat-types.js' */
/** @import { Conversation } from './conversation.mjs' */
/** @import { MessageList } from './message-list.mjs' */
import { ApiError, ConnectionError } from './api.mjs';
import { isPageTool, runPageTool } from './page-tools.mjs';
import { FieldError } from './parameters.mjs';
import { figures, readAnswer } from './read-answer.mjs';

/** Answers in a row that call tools of this page, before the reader is asked. */
const MAX_ROUNDS = 8;

/**
 * What a talk needs of its page.
 *
 * @typedef {object} TalkHost
 * @property {(isFirst: boolean) => Record<string, unknown>} parameters of a request, without the
 *   messages; `isFirst`: it asks a question, and does not give results of tools. Throws FieldError
 * @property {() => { role: 'system', content: string }[]} system
 * @property {() => string | null} waitsFor words for what an answer waits for; null: nothing
 * @property {() => string[]} signature words under an answer that say whose it is
 * @property {(action: () => Promise<void>, signal: AbortSignal) => Promise<void>} withKey
 * @property {(said: Conversation) => void} changed it should be kept
 * @property {(isWriting: boolean) => void} writing
 * @property {(reason: string | null) => void} ended an answer, and why
 */

/** One conversation at a time: questions, answers, and the calls of tools between them. */
export class Talk {
  #list;
  #host;
  #said;
  /**
   * Ends what is being written.
   *
   * @type {AbortController | null}
   */
  #writing = null;
  /** Resolves when the last answer has ended. */
  #answering = Promise.resolve();

  /**
   * @param {MessageList} list
   * @param {TalkHost} host
   * @param {Conversation} said
   */
  constructor(list, host, said) {
    this.#list = list;
    this.#host = host;
    this.#said = said;
  }

  get conversation() {
    return this.#said;
  }

  get isWriting() {
    return this.#writing !== null;
  }

  /**
   * Ends what is being written.
   *
   * @returns {Promise<void>} when the host has been told what it was: to keep it
   */
  stop() {
    this.#writing?.abort();
    return this.#answering;
  }

  /**
   * Goes on with another conversation, when what is being written has ended.
   *
   * @param {Conversation} said
   */
  open(said) {
    void this.stop();
    this.#said = said;
    this.#end();
    this.#list.show(said.turns);
  }

  /**
   * @param {string} content
   * @param {readonly Attachment[]} files
   */
  ask(content, files) {
    const turn = /** @type {const} */ ({ role: 'user', content, files });
    this.#said.ask(turn);
    this.#list.addQuestion(turn);
    this.#begin(true);
  }

  /** @param {string} content instead of the last question's; its files stay */
  askAgain(content) {
    const { turns } = this.#said;
    const index = turns.findLastIndex(({ role }) => role === 'user');
    const turn = /** @type {QuestionTurn} */ (turns[index]);
    this.#drop(index);
    this.ask(content, turn.files);
  }

  /** Instead of the last answer. */
  retry() {
    this.#drop(this.#said.turns.findLastIndex(({ role }) => role === 'assistant'));
    this.#begin(this.#said.turns.at(-1)?.role !== 'tool');
  }

  /**
   * @param {readonly ToolCall[]} calls
   * @param {readonly string[]} results
   */
  give(calls, results) {
    for (const [index, content] of results.entries()) this.#give(this.#said, calls[index], content);
    this.#begin(false);
  }

  /**
   * Lets the model go on after what has been said, and again while it calls tools of this page.
   *
   * @param {boolean} isFirst whether it answers a question
   */
  #begin(isFirst) {
    this.#answering = this.#answerAll(isFirst);
  }

  /** @param {boolean} isFirst */
  async #answerAll(isFirst) {
    const said = this.#said;
    const controller = new AbortController();
    this.#writing = controller;
    this.#host.writing(true);
    this.#list.isWriting = true;
    this.#host.changed(said);
    /** @type {readonly ToolCall[]} */
    let open = [];
    for (let round = 1; ; round++) {
      const calls = await this.#answerOnce(said, controller.signal, isFirst && round === 1);
      const runnable = round <= MAX_ROUNDS ? calls.filter(isPageTool) : [];
      for (const call of runnable) this.#give(said, call, runPageTool(call, new Date()));
      open = calls.filter((call) => !runnable.includes(call));
      if (runnable.length === 0 || open.length > 0) break;
    }
    this.#host.changed(said);
    if (this.#writing !== controller) return;
    this.#list.askForResults(open);
    this.#end();
  }

  /**
   * @param {Conversation} said
   * @param {AbortSignal} signal
   * @param {boolean} isFirst
   * @returns {Promise<readonly ToolCall[]>} what the answer calls
   */
  async #answerOnce(said, signal, isFirst) {
    /** @type {Run} */
    const run = { signal, start: 0, first: 0, last: 0, usage: null, reason: null };
    const view = this.#list.beginAnswer();
    const wait = this.#host.waitsFor();
    if (wait !== null) view.wait(wait);
    try {
      const body = {
        messages: [...this.#host.system(), ...said.messages],
        stream: true,
        stream_options: { include_usage: true },
        ...this.#host.parameters(isFirst),
      };
      await this.#host.withKey(() => readAnswer(body, run, (delta) => view.add(delta)), signal);
    } catch (error) {
      if (signal.aborted) run.reason = 'stopped';
      else view.fail(wordsOf(error));
    }
    const words = [...this.#host.signature(), ...figures(run)];
    view.end(words);
    // Calls that were cut off are none.
    const isWhole = run.reason === 'tool_calls' || run.reason === 'stop';
    const turn = { ...view.turn(words), ...(isWhole ? {} : { calls: [] }) };
    said.turns.push(turn);
    if (this.#said === said) this.#list.endAnswer(view, turn);
    this.#host.ended(run.reason);
    return turn.calls;
  }

  /**
   * @param {Conversation} said
   * @param {ToolCall} call
   * @param {string} content
   */
  #give(said, { id: callId, function: { name } }, content) {
    const turn = /** @type {const} */ ({ role: 'tool', content, callId, name });
    said.turns.push(turn);
    if (this.#said === said) this.#list.addResult(turn);
  }

  /** @param {number} index of the first turn that is taken back */
  #drop(index) {
    this.#said.turns.splice(index);
    this.#list.dropFrom(index);
  }

  #end() {
    this.#writing = null;
    this.#list.isWriting = false;
    this.#host.writing(false);
  }
}

/** @param {unknown} error */
export function wordsOf(error) {
  if (error instanceof ApiError) {
    const wait = error.retryAfter;
    return wait === null ? error.message : `${error.message} (try again in ${wait} s)`;
  }
  if (error instanceof FieldError || error instanceof ConnectionError) return error.message;
  return `no answer: ${error instanceof Error ? error.message : String(error)}`;
}
