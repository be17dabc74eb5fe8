import { OctavoError } from '../../engine/errors.js';
import {
  type Forecast,
  type ForecastRequest,
  SlotForecast,
  type SlotTimes,
} from './slot-forecast.js';

/** Maximum `Retry-After`: the official clients ignore larger values. */
const MAX_RETRY_AFTER_S = 60;

/** Sequences that the mean of those that run is taken over, at least. */
const MIN_SAMPLES = 8;

/**
 * A forecast is good for so long, as long as no request comes or goes: under overload it is asked
 * for thousands of times a second.
 */
const FORECAST_MS = 20;

/** A client that has so many times as much waiting as is free gets no more. */
const SHARE_OF_FREE = 3;

/** Share of the blocks in use from which on sequences may wait for memory. */
const FULL = 0.5;

/** Of the requests that are let in, so many may wait for longer than the limit. */
const LATE_SHARE = 0.01;

/** Of the limit: the margin at first, at most, and how far one wait moves it. */
const [FIRST_MARGIN, MOST_MARGIN, MARGIN_STEP] = [0.15, 0.5, 0.02];

export interface QueueLimits {
  /** Maximum number of requests that wait for their first token; 0 for no limit. */
  readonly maxRequests: number;
  /** Maximum prompt tokens of these requests together; 0 for no limit. */
  readonly maxTokens: number;
  /** Maximum expected wait for a slot, in seconds; 0 for no limit. */
  readonly maxSeconds: number;
  /** Sequences that may run at the same time. */
  readonly slots: number;
}

/** What the engine has to do. */
export interface EngineLoad {
  /** Sequences. */
  readonly running: number;
  /** Sequences. */
  readonly waiting: number;
  /** Share of the KV cache's blocks that sequences hold, 0 to 1. */
  readonly memoryInUse: number;
}

/** A request that the queue counts. */
export interface QueuedRequest extends ForecastRequest {
  readonly promptTokens: number;
}

/**
 * Bounds the work that waits for a first token. Under a load that is too large an unbounded queue
 * grows until every client has given up and the server computes answers for none; a bounded one
 * keeps the latency of the admitted.
 *
 * The bound that matters by itself is one of time: a request is let in when its slot can be
 * expected to become free in time (`SlotForecast`).
 *
 * No client can take all of it. One gets no more once it has three times as much waiting as is free
 * (dynamic thresholds, Choudhury and Hahne 1998): one client alone fills three quarters, two fill
 * three sevenths each, and a new client finds room. The reserved room costs no throughput, since a
 * shorter queue keeps the slots as busy.
 */
export class Queue {
  readonly #limits: QueueLimits;
  readonly #load: () => EngineLoad;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #forecast: SlotForecast;
  /**
   * Requests that have not ended, in the order in which they came, and for how many seconds each
   * was expected to wait; 0: unknown.
   */
  readonly #alive = new Map<QueuedRequest, number>();
  /**
   * Sequences that run while others wait: fewer than may where the KV cache holds no more.
   */
  #slots: number;
  #samples = 0;
  /** Seconds by which waits exceed what was expected, but for one in a hundred. */
  #margin: number;
  #latest: (Forecast & { readonly madeAt: number }) | null = null;

  /**
   * @param load of the engine, at most a step old
   * @param now monotonic clock, milliseconds
   * @param random uniform in [0, 1)
   */
  constructor(
    limits: QueueLimits,
    load: () => EngineLoad,
    now: () => number,
    random: () => number,
  ) {
    this.#limits = limits;
    this.#slots = limits.slots;
    this.#margin = FIRST_MARGIN * limits.maxSeconds;
    // Until something is measured, as many may wait as can run.
    this.#forecast = new SlotForecast(now, limits.maxSeconds);
    this.#load = load;
    this.#now = now;
    this.#random = random;
  }

  /** How long a request that arrived now would wait for a slot, in seconds. */
  get expectedSeconds(): number {
    return this.#look().seconds;
  }

  /**
   * Counts a request; each `enter` needs a `leave`.
   *
   * @throws OctavoError `overloaded`, with the limit that is reached
   */
  enter(request: QueuedRequest): void {
    this.assertRoom(request.client, request.promptTokens);
    this.#alive.set(request, this.#isFounded ? this.expectedSeconds : 0);
    this.#latest = null;
  }

  leave(request: QueuedRequest, times: SlotTimes): void {
    const expected = this.#alive.get(request);
    if (expected === undefined) return;
    this.#alive.delete(request);
    this.#latest = null;
    if (times.queueMs === null) return;
    this.#judge(expected, times.queueMs / 1000);
    this.#forecast.ended(request, times, this.#slots);
    for (let i = 0; i < request.sequences; i++) this.#measureSlots();
  }

  /**
   * Changes no state, and is cheap, because it is called for every request under overload.
   *
   * @param promptTokens of the request that would enter; the shortest prompt has one
   * @throws OctavoError `overloaded`, with the limit that is reached
   */
  assertRoom(client: string, promptTokens = 1): void {
    if (this.#limits.maxSeconds > 0) this.#assertTime(client);
    const { maxRequests, maxTokens } = this.#limits;
    if (maxRequests === 0 && maxTokens === 0) return;
    const all = { requests: 0, tokens: 0 };
    const own = { requests: 0, tokens: 0 };
    for (const other of this.#alive.keys()) {
      if (other.progress().firstTokenAt !== null) continue;
      for (const sum of other.client === client ? [all, own] : [all]) {
        sum.requests += 1;
        sum.tokens += other.promptTokens;
      }
    }
    if (maxRequests > 0 && all.requests >= maxRequests) {
      throw this.#overloaded(`${all.requests} requests wait already; at most ${maxRequests} may`);
    }
    // One that finds none waiting is let in, whatever its size.
    if (maxTokens > 0 && all.requests > 0 && all.tokens + promptTokens > maxTokens) {
      throw this.#overloaded(`${all.tokens} prompt tokens wait already; at most ${maxTokens} may`);
    }
    if (maxRequests > 0) this.#assertShare(own.requests, own.requests, maxRequests - all.requests);
    if (maxTokens > 0) this.#assertShare(own.requests, own.tokens, maxTokens - all.tokens);
  }

  #assertTime(client: string): void {
    const { seconds, waiting, waitingOf, room } = this.#look();
    // A request is admitted when none waits, however long the running ones take.
    if (waiting === 0) return;
    const { maxSeconds } = this.#limits;
    if (room === 0) {
      throw this.#overloaded(
        `a request would wait about ${seconds.toPrecision(2)} s for its turn; at most ${maxSeconds} s are allowed`,
      );
    }
    const own = waitingOf.get(client) ?? 0;
    this.#assertShare(own, own, room);
  }

  /**
   * @param taken by the client, of what is bounded
   * @param free in the same unit
   */
  #assertShare(requests: number, taken: number, free: number): void {
    if (taken < SHARE_OF_FREE * free) return;
    throw this.#overloaded(
      `${requests} of the same client wait already, which is its share of the queue`,
    );
  }

  #look(): Forecast {
    const now = this.#now();
    if (this.#latest === null || now - this.#latest.madeAt > FORECAST_MS) {
      const inTime = this.#limits.maxSeconds - (this.#isFounded ? this.#margin : 0);
      const forecast = this.#forecast.look(this.#alive.keys(), this.#slots, inTime);
      this.#latest = { ...forecast, madeAt: now };
    }
    return this.#latest;
  }

  /**
   * Whether a generation has ended: what is foretold from the first few, the shortest, says nothing
   * about how good forecasts are.
   */
  get #isFounded(): boolean {
    return this.#samples >= this.#limits.slots;
  }

  /**
   * What is foretold is a mean, and some waits are longer. How much longer all but a few are is
   * learned from them, as a quantile by stochastic approximation (Robbins and Monro 1951).
   */
  #judge(expected: number, waited: number): void {
    const { maxSeconds } = this.#limits;
    if (expected === 0 || expected > maxSeconds) return;
    const isLonger = waited - expected > this.#margin;
    const step = MARGIN_STEP * maxSeconds * (Number(isLonger) - LATE_SHARE);
    this.#margin = Math.min(MOST_MARGIN * maxSeconds, Math.max(0, this.#margin + step));
  }

  /**
   * A plain mean at first, then one that follows the load within about as many sequences as may
   * run.
   */
  #measureSlots(): void {
    this.#samples = Math.min(this.#samples + 1, Math.max(MIN_SAMPLES, this.#limits.slots));
    const { running, waiting, memoryInUse } = this.#load();
    // Where sequences have just ended together, others wait for the next step, not for a slot.
    const isFull = waiting > 0 && memoryInUse >= FULL;
    const slots = isFull ? Math.max(1, running) : this.#limits.slots;
    this.#slots += (slots - this.#slots) / this.#samples;
  }

  /**
   * Clients that were refused together must not return together, so the delay is drawn between the
   * expected wait and twice that.
   */
  #overloaded(what: string): OctavoError {
    const wait = Math.max(1, Math.ceil(this.expectedSeconds));
    const jitter = Math.floor(this.#random() * (wait + 1));
    // Its stack is shown nowhere, and taking it costs a tenth of the whole refusal.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      return new OctavoError('overloaded', `the server is overloaded: ${what}`, {
        retryAfterSeconds: Math.min(MAX_RETRY_AFTER_S, wait + jitter),
      });
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }
}
