import { once } from 'node:events';

/** Exit code of a program that a broken pipe has ended: 128 plus SIGPIPE. */
const BROKEN_PIPE = 141;

/** Writes text to stdout at the reader's pace, until the reader closes the pipe. */
export class StandardOutput {
  #error: NodeJS.ErrnoException | null = null;

  /** @param onBroken called once when nothing can be written any more */
  constructor(onBroken: () => void = () => undefined) {
    process.stdout.on('error', (error) => {
      if (this.#error === null) onBroken();
      this.#error ??= error;
    });
  }

  get isBroken(): boolean {
    return this.#error !== null;
  }

  /** Resolves when there is room for more. */
  async write(text: string): Promise<void> {
    if (text === '' || process.stdout.write(text)) return;
    // The error handler has recorded the error by then.
    await once(process.stdout, 'drain').catch(() => undefined);
  }

  /**
   * @returns 0, or the code for a reader who has left
   * @throws any other error of writing
   */
  exitCode(): number {
    if (this.#error === null) return 0;
    if (this.#error.code === 'EPIPE') return BROKEN_PIPE;
    throw this.#error;
  }
}
