import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.js';
import { exitCode } from './octavo-process.js';

const CLI = fileURLToPath(new URL('../../dist/server/cli.js', import.meta.url));

/** A program on a terminal of its own, by util-linux' `script`. */
export class Terminal {
  readonly #child: ChildProcess;
  /** Resolves to the program's exit code. */
  readonly ended: Promise<number | null>;
  /** All that was on the screen, what was typed included. */
  screen = '';
  #read = 0;

  /** The compiled program; killed when the test is over. */
  constructor(args: readonly string[]) {
    const words = [process.execPath, CLI, ...args].map((word) => `'${word}'`).join(' ');
    // A shell that stays in between also gets Ctrl-C, and ends with 130 whatever the program says.
    const command = `exec ${words}`;
    const child = spawn('script', ['-qefc', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm', NO_COLOR: '1' },
    });
    this.#child = child;
    this.ended = exitCode(child);
    child.stdout?.on('data', (chunk: Buffer) => (this.screen += chunk.toString()));
    onTestFinished(() => void child.kill('SIGKILL'));
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Waits for a text behind the one that was waited for before. */
  async shows(pattern: RegExp): Promise<void> {
    const find = (): boolean => {
      const found = pattern.exec(this.screen.slice(this.#read));
      if (found) this.#read += found.index + found[0].length;
      return found !== null;
    };
    await eventually(find, String(pattern), { everyMs: 20 }).catch((error: unknown) => {
      throw new Error(`the screen shows ${JSON.stringify(this.screen)}`, { cause: error });
    });
  }
}
