import { type Clock, systemClock } from '../../engine/clock.js';

interface ManualTimer {
  readonly action: () => void;
  readonly ms: number;
}

/** Timers that run out when a test says so, however fast the machine is. */
export class ManualTimers {
  readonly #started = new Set<ManualTimer>();

  /** The system's time with these timers. */
  readonly clock: Clock = {
    ...systemClock,
    startTimer: (action, ms) => {
      const timer = { action, ms };
      this.#started.add(timer);
      return {
        restart: () => void this.#started.add(timer),
        cancel: () => void this.#started.delete(timer),
      };
    },
  };

  /** Ends those that were started with more than `from` and at most `to` seconds. */
  fire(from: number, to: number): void {
    const due = [...this.#started].filter(({ ms }) => ms > from * 1000 && ms <= to * 1000);
    for (const timer of due) {
      this.#started.delete(timer);
      timer.action();
    }
  }
}
