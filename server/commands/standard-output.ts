import { once } from 'node:events';

/** As a shell shows a program that a broken pipe has ended: 128 plus SIGPIPE. */
const BROKEN_PIPE = 141;

/** Text to stdout at its reader's pace, until the reader leaves. */
export class StandardOutput {
  #error: NodeJS.ErrnoException | null = null;

  /** @param onBroken told once when nothing can be written any more */
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
    // An error has been noted by then.
    await once(process.stdout, 'drain').catch(() => undefined);
  }

  /**
   * @returns 0, or the code for a reader who has left
   * @throws what else kept the text from being written
   */
  exitCode(): number {
    if (this.#error === null) return 0;
    if (this.#error.code === 'EPIPE') return BROKEN_PIPE;
    throw this.#error;
  }
}
