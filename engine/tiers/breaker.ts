export interface BreakerOptions {
  /** Failures in a row after which it opens. */
  readonly failures: number;
  /** Milliseconds after which one call may try again. */
  readonly coolMs: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** Called when it opens, and when it closes again: one line for the log each. */
  readonly log: (line: string) => void;
  /** Begins the line. */
  readonly name: string;
}

/**
 * A circuit breaker (Nygard, Release It!, 2007): what fails several times in a row is left alone
 * for a while, so that nothing waits for it, and is then tried by one call.
 *
 *     closed --failures--> open --after a while--> half open --success--> closed
 *                            ^                         |
 *                            +-------- failure --------+
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #failures = 0;
  #openedAt: number | null = null;
  #isTrying = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#openedAt !== null;
  }

  /**
   * Whether a call may be made now; `succeeded` or `failed` must follow it.
   */
  allows(): boolean {
    if (this.#openedAt === null) return true;
    if (this.#isTrying || this.#options.now() < this.#openedAt + this.#options.coolMs) return false;
    this.#isTrying = true;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#isTrying = false;
    if (this.#openedAt === null) return;
    this.#openedAt = null;
    this.#options.log(`${this.#options.name} works again`);
  }

  failed(reason: string): void {
    this.#isTrying = false;
    this.#failures += 1;
    const { failures, name, now, log, coolMs } = this.#options;
    if (this.#failures < failures) return;
    const wasOpen = this.isOpen;
    this.#openedAt = now();
    if (wasOpen) return;
    log(`${name} is left alone, tried again every ${coolMs / 1000} s: ${reason}`);
  }
}
