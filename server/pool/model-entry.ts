import type { Clock, Timer } from '../../engine/clock.js';
import type { ModelService } from '../models.js';
import type { ModelSource } from './model-source.js';

/** `failed`: its last load ended with an error; the next request tries again. */
export type ModelState = 'unloaded' | 'loading' | 'loaded' | 'unloading' | 'failed';

/** A request that waits for its model. */
export interface Waiter {
  grant(service: ModelService): void;
  fail(error: Error): void;
}

/** Milliseconds, from the last request's end on; `Infinity`: always. */
export type KeepAlive = number;

/** What the entry tells its pool. */
export interface EntryListener {
  /** A model's last request has ended. */
  released(): void;
  /** No request has asked for the model for as long as it is kept. */
  expired(entry: ModelEntry): void;
}

/** One of the models that a server can serve: whether it is loaded, and who uses it or waits. */
export class ModelEntry {
  readonly names: readonly [string, ...string[]];
  /** Null: it is the caller's, and stays loaded. */
  readonly source: ModelSource | null;
  readonly waiters = new Set<Waiter>();
  state: ModelState = 'unloaded';
  /** While it is loaded. */
  service: ModelService | null = null;
  /** Memory that it takes, or would take, as far as that is known. */
  bytes: number | null = null;
  /** Tokens of its context, once it was loaded. */
  contextLength: number | null = null;
  /** When it was loaded, seconds since 1970. */
  loadedAt: number | null = null;
  /** It takes no more requests: it goes when those that it has have ended. */
  isLeaving = false;
  /** Why the last load failed. */
  failure: Error | null = null;
  /** For how long it is kept when no request asks for it. */
  keepAlive: KeepAlive;
  lastUsedAt: number;
  readonly #standardKeepAlive: KeepAlive;
  readonly #clock: Clock;
  readonly #listener: EntryListener;
  #uses = 0;
  #idle: Timer | null = null;

  constructor(
    names: readonly [string, ...string[]],
    source: ModelSource | null,
    keepAlive: KeepAlive,
    clock: Clock,
    listener: EntryListener,
  ) {
    this.names = names;
    this.source = source;
    this.keepAlive = keepAlive;
    this.#standardKeepAlive = keepAlive;
    this.#clock = clock;
    this.#listener = listener;
    this.lastUsedAt = clock.now();
  }

  get name(): string {
    return this.names[0];
  }

  /** Requests that it works on. */
  get uses(): number {
    return this.#uses;
  }

  /** The service, if it takes requests now. */
  get open(): ModelService | null {
    return this.isLeaving || this.state !== 'loaded' ? null : this.service;
  }

  /** Milliseconds until it is unloaded if no request asks for it; null: it is not. */
  get expiresIn(): number | null {
    if (this.source === null || this.keepAlive === Infinity || this.state !== 'loaded') return null;
    const idleFor = this.#uses > 0 ? 0 : this.#clock.now() - this.lastUsedAt;
    return Math.max(0, this.keepAlive - idleFor);
  }

  /** A request uses the model from now on, until what this returns is called. */
  take(): () => void {
    this.#uses += 1;
    this.lastUsedAt = this.#clock.now();
    this.#idle?.cancel();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#uses -= 1;
      this.lastUsedAt = this.#clock.now();
      if (this.#uses > 0) return;
      this.keepFor(this.keepAlive);
      this.#listener.released();
    };
  }

  /** Lets all who wait have the model, which is loaded. */
  grantAll(service: ModelService): void {
    for (const waiter of this.waiters) waiter.grant(service);
    if (this.#uses === 0) this.keepFor(this.keepAlive);
  }

  failAll(error: Error): void {
    for (const waiter of this.waiters) waiter.fail(error);
  }

  /**
   * Until it is unloaded, it is kept for so long when no request asks for it.
   *
   * @param asked null: as the server was started
   */
  keepFor(asked: KeepAlive | null): void {
    const keepAlive = asked ?? this.#standardKeepAlive;
    this.keepAlive = keepAlive;
    this.#idle?.cancel();
    this.#idle = null;
    if (this.#uses > 0 || keepAlive === Infinity) return;
    // Timers hold no more than 31 bits.
    const wait = Math.min(keepAlive, 2 ** 31 - 1);
    this.#idle = this.#clock.startTimer(() => this.#listener.expired(this), wait);
  }

  forget(): void {
    this.#idle?.cancel();
    this.#idle = null;
    this.service = null;
    this.isLeaving = false;
    this.loadedAt = null;
    this.keepAlive = this.#standardKeepAlive;
  }
}
