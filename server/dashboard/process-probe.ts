import type { Clock, Timer } from '../../engine/clock.js';

/** How the process does. */
export interface ProcessFigures {
  /** Resident memory and V8's heap in use, in bytes. */
  readonly rss: number;
  readonly heap: number;
  /** Processor time of all threads since the start, in seconds. */
  readonly cpuSeconds: number;
  /** The longest that the event loop kept a timer waiting since the last look, in milliseconds. */
  readonly loopDelay: number;
}

const TICK_MS = 100;

/**
 * Looks at this process. The event loop's delay is measured by a timer of its own: Node's histogram forgets, when it is reset, the
 * interval in which that happens, and so a block of seconds. What is measured is short by a tick at most.
 */
export class ProcessProbe {
  readonly #clock: Clock;
  readonly #timer: Timer;
  #due: number;
  #longest = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#due = clock.now() + TICK_MS;
    this.#timer = clock.startTimer(() => {
      this.#look();
      this.#timer.restart();
    }, TICK_MS);
  }

  read(): ProcessFigures {
    // A timer of somebody else may be the first that runs after a block.
    this.#note();
    const loopDelay = this.#longest;
    this.#longest = 0;
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed: heap } = process.memoryUsage();
    return { rss, heap, cpuSeconds: (user + system) / 1e6, loopDelay };
  }

  close(): void {
    this.#timer.cancel();
  }

  #look(): void {
    this.#note();
    this.#due = this.#clock.now() + TICK_MS;
  }

  #note(): void {
    this.#longest = Math.max(this.#longest, this.#clock.now() - this.#due);
  }
}
