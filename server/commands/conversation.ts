import { OctavoError } from '../../engine/errors.js';
import type { OutputFlags } from '../config/generate-flags.js';
import { type ChatState, obey } from './chat-state.js';
import { LineJoiner } from './line-joiner.js';
import type { LocalModel } from './local-model.js';
import type { StandardOutput } from './standard-output.js';

/** A conversation's ways in and out. */
export interface ConversationEnds {
  readonly local: Pick<LocalModel, 'name' | 'about' | 'answer'>;
  /** @returns the next line; null at the end */
  readonly next: (prompt: string) => Promise<string | null>;
  readonly out: Pick<StandardOutput, 'write' | 'isBroken' | 'exitCode'>;
  /** For figures and errors. */
  readonly note: (line: string) => void;
  readonly isTerminal: boolean;
}

/** A conversation on the terminal: questions and commands in turn, until the input ends. */
export class Conversation {
  readonly #ends: ConversationEnds;
  readonly #state: ChatState;

  constructor(ends: ConversationEnds, { answer, system }: OutputFlags) {
    this.#ends = ends;
    this.#state = { system, messages: [], options: answer };
  }

  /** @returns the exit code */
  async run(): Promise<number> {
    const { local, next, out, isTerminal } = this.#ends;
    if (isTerminal) await out.write(`${local.name}: /? for help\n`);
    const joiner = new LineJoiner();
    for (;;) {
      const line = await next(joiner.isOpen ? '. ' : '> ');
      if (line === null || out.isBroken) {
        if (isTerminal) await out.write('\n');
        break;
      }
      const message = joiner.add(line);
      if (message === null || message.trim() === '') continue;
      if (!message.startsWith('/')) await this.#ask(message);
      else if (!(await this.#obey(message))) break;
    }
    return out.exitCode();
  }

  /** @returns whether the conversation goes on */
  async #obey(line: string): Promise<boolean> {
    const { local, out } = this.#ends;
    const text = obey(line, this.#state, local.about);
    if (text !== null) await out.write(`${text}\n`);
    return text !== null;
  }

  async #ask(question: string): Promise<void> {
    const { local, out, note, isTerminal } = this.#ends;
    const { system, options } = this.#state;
    const messages = [...this.#state.messages, { role: 'user', content: question }];
    const instructions = system === null ? [] : [{ role: 'system', content: system }];
    const controller = new AbortController();
    const { signal } = controller;
    const interrupt = (): void => controller.abort();
    process.on('SIGINT', interrupt);
    try {
      const answer = await local.answer(
        [...instructions, ...messages],
        options,
        signal,
        async (text) => {
          await out.write(text);
          if (out.isBroken) controller.abort();
        },
      );
      this.#state.messages = [...messages, { role: 'assistant', content: answer.text }];
      await out.write('\n');
      if (isTerminal) note(`\u001b[2m${answer.summary}\u001b[22m`);
    } catch (error) {
      // An error of one message does not end the conversation.
      if (!(error instanceof OctavoError) || error.entry.type !== 'invalid_request_error')
        throw error;
      const advice = error.kind === 'context_length_exceeded' ? '; /clear begins anew' : '';
      note(`octavo: ${error.message}${advice}`);
    } finally {
      process.off('SIGINT', interrupt);
    }
  }
}
