import { createInterface, type Interface } from 'node:readline';

/** Reads lines of standard input, one at a time; lines typed meanwhile are queued. */
export class TerminalLines {
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
