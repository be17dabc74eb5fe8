import { createInterface, type Interface } from 'node:readline';
import { OctavoError } from '../../engine/errors.js';
import type { Message } from '../../engine/index.js';
import type { OutputFlags } from '../config/generate-flags.js';
import type { Settings } from '../config/settings.js';
import { LocalModel } from './local-model.js';
import { StandardOutput } from './standard-output.js';

const HELP = `  /help            what there is
  /clear           forgets the conversation
  /system [text]   sets the system message; without a text, shows it
  Ctrl-C stops the answer, Ctrl-D leaves. A line that ends with \\ goes on in the next one.`;

/**
 * `octavo chat`: a conversation on the terminal, without a server. In a pipe, each line is a
 * message, and only answers are printed.
 *
 * @returns the exit code
 */
export async function chat(options: OutputFlags, settings: Settings): Promise<number> {
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const local = await LocalModel.load(settings, log);
  try {
    // Reports a model without a chat template at once, not after the first message.
    local.assertHasTemplate();
    return await new Conversation(local, options).run();
  } finally {
    await local.close();
  }
}

class Conversation {
  readonly #local: LocalModel;
  readonly #options: OutputFlags;
  readonly #isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  readonly #out = new StandardOutput();
  #system: string | null;
  /** Questions and answers in turn. */
  #messages: Message[] = [];

  constructor(local: LocalModel, options: OutputFlags) {
    this.#local = local;
    this.#options = options;
    this.#system = options.system;
  }

  async run(): Promise<number> {
    if (this.#isTerminal) await this.#out.write(`${this.#local.name}: /help for help\n`);
    const lines = new Lines(this.#isTerminal);
    try {
      let pending = '';
      for (;;) {
        const line = await lines.next(pending === '' ? '> ' : '. ');
        if (line === null || this.#out.isBroken) break;
        if (line.endsWith('\\')) {
          pending += `${line.slice(0, -1)}\n`;
          continue;
        }
        const message = pending + line;
        pending = '';
        if (message.trim() === '') continue;
        await (message.startsWith('/') ? this.#command(message) : this.#ask(message));
      }
      if (this.#isTerminal) await this.#out.write('\n');
      return this.#out.exitCode();
    } finally {
      lines.close();
    }
  }

  async #command(line: string): Promise<void> {
    const [, name = '', rest = ''] = /^\/(\S*)\s*([^]*)$/.exec(line) ?? [];
    await this.#out.write(`${this.#obey(name, rest)}\n`);
  }

  #obey(name: string, rest: string): string {
    switch (name) {
      case 'help':
        return HELP;
      case 'clear':
        this.#messages = [];
        return 'forgotten';
      case 'system':
        if (rest !== '') this.#system = rest;
        return this.#system ?? 'there is no system message';
      default:
        return `unknown command /${name}: must be /help, /clear or /system`;
    }
  }

  async #ask(question: string): Promise<void> {
    const messages = [...this.#messages, { role: 'user', content: question }];
    const system = this.#system === null ? [] : [{ role: 'system', content: this.#system }];
    const controller = new AbortController();
    const interrupt = (): void => controller.abort();
    process.on('SIGINT', interrupt);
    try {
      const write = async (text: string): Promise<void> => {
        await this.#out.write(text);
        if (this.#out.isBroken) controller.abort();
      };
      const { signal } = controller;
      const input = [...system, ...messages];
      const answer = await this.#local.answer(input, this.#options.answer, signal, write);
      this.#messages = [...messages, { role: 'assistant', content: answer.text }];
      await this.#out.write('\n');
      if (this.#isTerminal && process.stderr.isTTY) {
        process.stderr.write(`\u001b[2m${answer.summary}\u001b[22m\n`);
      }
    } catch (error) {
      // An error of one message does not end the conversation.
      if (!(error instanceof OctavoError) || error.entry.type !== 'invalid_request_error')
        throw error;
      const advice = error.kind === 'context_length_exceeded' ? '; /clear begins anew' : '';
      process.stderr.write(`octavo: ${error.message}${advice}\n`);
    } finally {
      process.off('SIGINT', interrupt);
    }
  }
}

/** Reads lines of standard input, one at a time; lines typed meanwhile are queued. */
class Lines {
  readonly #reader: Interface;
  readonly #waiting: string[] = [];
  readonly #isTerminal: boolean;
  #take: ((line: string | null) => void) | null = null;
  #ended = false;

  constructor(isTerminal: boolean) {
    this.#isTerminal = isTerminal;
    this.#reader = createInterface({
      input: process.stdin,
      ...(isTerminal ? { output: process.stdout } : {}),
      terminal: isTerminal,
      historySize: 500,
      removeHistoryDuplicates: true,
    });
    this.#reader.on('line', (line) => {
      if (this.#take) this.#give(line);
      else this.#waiting.push(line);
    });
    this.#reader.on('close', () => {
      this.#ended = true;
      this.#give(null);
    });
    // At the prompt, Ctrl-C clears the line.
    this.#reader.on('SIGINT', () => {
      process.stdout.write(this.#reader.line === '' ? '\n(Ctrl-D leaves)\n' : '^C\n');
      this.#reader.write(null, { ctrl: true, name: 'e' });
      this.#reader.write(null, { ctrl: true, name: 'u' });
      this.#reader.prompt();
    });
  }

  /** @returns null at the end */
  async next(prompt: string): Promise<string | null> {
    const early = this.#waiting.shift();
    if (early !== undefined) return early;
    if (this.#ended) return null;
    const line = new Promise<string | null>((resolve) => {
      this.#take = resolve;
    });
    if (this.#isTerminal) {
      process.stdin.setRawMode(true);
      this.#reader.setPrompt(prompt);
      this.#reader.prompt();
    }
    return line;
  }

  close(): void {
    this.#reader.close();
  }

  #give(line: string | null): void {
    const take = this.#take;
    this.#take = null;
    // While an answer is printed, the terminal is in its normal mode, so Ctrl-C sends a signal.
    if (this.#isTerminal && !this.#ended) process.stdin.setRawMode(false);
    take?.(line);
  }
}
