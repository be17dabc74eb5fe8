import type { Clock, Timer } from '../../engine/clock.js';

/** Figures of the process. */
export interface ProcessFigures {
  /** Resident memory and V8's heap in use, in bytes. */
  readonly rss: number;
  readonly heap: number;
  /** Processor time of all threads since the start, in seconds. */
  readonly cpuSeconds: number;
  /** The longest delay of a timer by the event loop since the last reading, in milliseconds. */
  readonly loopDelay: number;
}

const TICK_MS = 100;

/**
 * Reads figures of this process. The event loop's delay is measured by a separate timer: when
 * Node's histogram is reset, it loses the interval of the reset, and with it a block of seconds.
 * The measured delay is short by at most one tick.
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
    // Another timer may be the first to run after a block.
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
