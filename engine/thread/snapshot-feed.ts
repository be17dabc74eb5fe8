import type { EngineSnapshot } from '../protocol/reports.js';

/** Minimum milliseconds between two snapshots. */
const INTERVAL_MS = 250;

export interface SnapshotFeedOptions {
  readonly take: () => EngineSnapshot;
  readonly send: (snapshot: EngineSnapshot) => void;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Takes snapshots of an engine while they are on: at most four a second, and none without changes.
 * It has no timer: the engine's loop calls it between two steps, the only time at which blocks and
 * requests are consistent.
 */
export class SnapshotFeed {
  readonly #options: SnapshotFeedOptions;
  #watched = false;
  #changed = false;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(options: SnapshotFeedOptions) {
    this.#options = options;
  }

  /** @param on true also when it is already on: a new listener has seen no snapshot yet */
  watch(on: boolean): void {
    this.#watched = on;
    this.#changed = on;
  }

  /** Call when blocks or requests have changed. */
  touch(): void {
    this.#changed = true;
  }

  /** Milliseconds until a snapshot is due, 0 or less when it is due; null when none is needed. */
  get dueIn(): number | null {
    if (!this.#watched || !this.#changed) return null;
    return this.#lastAt + INTERVAL_MS - this.#options.now();
  }

  sendIfDue(): void {
    const due = this.dueIn;
    if (due === null || due > 0) return;
    this.#changed = false;
    this.#lastAt = this.#options.now();
    this.#options.send(this.#options.take());
  }
}
