import type { EngineSnapshot } from '../protocol/reports.js';

/** Milliseconds between two snapshots, at least. */
const INTERVAL_MS = 250;

export interface SnapshotFeedOptions {
  readonly take: () => EngineSnapshot;
  readonly send: (snapshot: EngineSnapshot) => void;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Takes snapshots of an engine while somebody watches, at most four a second, and none when nothing has changed. It has no timer:
 * whoever drives the engine calls it between two steps, the only time at which blocks and requests agree.
 */
export class SnapshotFeed {
  readonly #options: SnapshotFeedOptions;
  #watched = false;
  #changed = false;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(options: SnapshotFeedOptions) {
    this.#options = options;
  }

  /** @param on also when it is on already: somebody new has come, who has seen nothing yet */
  watch(on: boolean): void {
    this.#watched = on;
    this.#changed = on;
  }

  /** Blocks or requests are not what they were. */
  touch(): void {
    this.#changed = true;
  }

  /** Milliseconds until a snapshot is due, 0 or less when it is; null when none is wanted. */
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
