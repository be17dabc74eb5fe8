/** Source of time; tests inject their own. */
export interface Clock {
  /** Monotonic, milliseconds. */
  now(): number;
  /** Seconds since 1970. */
  unixSeconds(): number;
  /**
   * Calls `action` once after `ms` milliseconds of real time, unless cancelled. Does not keep the
   * process alive.
   */
  startTimer(action: () => void, ms: number): Timer;
}

export interface Timer {
  /** Starts the delay again, even after the action has been called. */
  restart(): void;
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  unixSeconds: () => Math.floor(Date.now() / 1000),
  startTimer: (action, ms) => {
    const timeout = setTimeout(action, ms).unref();
    return { restart: () => void timeout.refresh(), cancel: () => clearTimeout(timeout) };
  },
};
