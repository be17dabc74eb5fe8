/** Stops and continues the sequences of a request. */
export interface SeatControls {
  readonly pause: () => void;
  readonly resume: () => void;
}

/** The seats of a request of a batch. */
export interface HeldSeats {
  /** Called when its sequences run, and with each output: one that came late must pause, too. */
  control(controls: SeatControls): void;
  /** Called once, when it has ended. */
  leave(): void;
}

interface Holder {
  readonly sequences: number;
  controls: SeatControls | null;
  isPaused: boolean;
}

interface Waiter {
  readonly sequences: number;
  readonly grant: () => void;
}

/**
 * Which requests of batches may run, so that they take nothing from interactive ones: these are
 * counted here, but never wait here. Batches take at most `most` of the engine's seats, and only
 * seats that interactive requests leave. When those need more, running requests of batches pause,
 * the latest first, and continue when there is room: a paused sequence holds no seat, and its
 * blocks only until others need them. A server that is always full of interactive requests does not
 * work on batches.
 *
 * A request with more sequences than may run has its turn alone, on an idle server.
 */
export class BatchSeats {
  readonly #slots: number;
  readonly #most: number;
  /** In the order in which they came. */
  readonly #holders = new Set<Holder>();
  readonly #waiters = new Set<Waiter>();
  #interactive = 0;

  /**
   * @param slots sequences that may run
   * @param most of them, for batches
   */
  constructor(slots: number, most: number) {
    this.#slots = slots;
    this.#most = most;
  }

  /** Sequences of interactive requests that have begun. */
  get interactive(): number {
    return this.#interactive;
  }

  /** Counts an interactive request. @returns what to call when it has ended */
  interactiveBegins(sequences: number): () => void {
    this.#interactive += sequences;
    this.#balance();
    return () => {
      this.#interactive -= sequences;
      this.#balance();
    };
  }

  /** Waits for seats, in the order of the calls. @throws the signal's reason */
  enter(sequences: number, signal: AbortSignal): Promise<HeldSeats> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const leave = (): void => {
        this.#waiters.delete(waiter);
        reject(signal.reason as Error);
        this.#balance();
      };
      const waiter = {
        sequences,
        grant: () => {
          signal.removeEventListener('abort', leave);
          resolve(this.#hold(sequences));
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiters.add(waiter);
      this.#balance();
    });
  }

  #hold(sequences: number): HeldSeats {
    const holder: Holder = { sequences, controls: null, isPaused: false };
    this.#holders.add(holder);
    return {
      control: (controls) => {
        holder.controls = controls;
        if (holder.isPaused) controls.pause();
      },
      leave: () => {
        this.#holders.delete(holder);
        this.#balance();
      },
    };
  }

  #balance(): void {
    let used = 0;
    for (const holder of this.#holders) {
      const mayRun = this.#fits(used, holder.sequences, this.#slots);
      if (mayRun) used += holder.sequences;
      if (mayRun === !holder.isPaused) continue;
      holder.isPaused = !mayRun;
      if (mayRun) holder.controls?.resume();
      else holder.controls?.pause();
    }
    const held = [...this.#holders].reduce((sum, { sequences }) => sum + sequences, 0);
    // A new one never overtakes one that pauses.
    const [next] = this.#waiters;
    if (next === undefined || held > used) return;
    if (!this.#fits(used, next.sequences, this.#most)) return;
    this.#waiters.delete(next);
    next.grant();
    this.#balance();
  }

  #fits(used: number, sequences: number, most: number): boolean {
    if (used === 0 && this.#interactive === 0) return true;
    return used + sequences <= Math.min(most, this.#slots - this.#interactive);
  }

  /** @throws Error when something is not as it must be; for tests */
  checkIntegrity(): void {
    if (this.#interactive < 0) throw new Error(`${this.#interactive} interactive sequences`);
    const running = [...this.#holders].filter(({ isPaused }) => !isPaused);
    const used = running.reduce((sum, { sequences }) => sum + sequences, 0);
    if (running.length > 1 && used > this.#slots - this.#interactive) {
      throw new Error(`${used} sequences of batches run beside ${this.#interactive} others`);
    }
  }
}
