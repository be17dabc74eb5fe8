import { OctavoError } from '../../engine/errors.js';
import { type EngineLoad, ExpectedWait } from './expected-wait.js';
import type { ForecastRequest, SlotTimes } from './slot-forecast.js';

/** Maximum `Retry-After`: the official clients ignore larger values. */
const MAX_RETRY_AFTER_S = 60;

/** A client that has so many times as much waiting as is free gets no more. */
const SHARE_OF_FREE = 3;

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
 * expected to become free in time (`ExpectedWait`).
 *
 * No client can take all of it. One gets no more once it has three times as much waiting as is free
 * (dynamic thresholds, Choudhury and Hahne 1998): one client alone fills three quarters, two fill
 * three sevenths each, and a new client finds room. The reserved room costs no throughput, since a
 * shorter queue keeps the slots as busy.
 */
export class Queue {
  readonly #limits: QueueLimits;
  readonly #random: () => number;
  readonly #wait: ExpectedWait<QueuedRequest>;

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
    this.#wait = new ExpectedWait(limits, load, now);
    this.#random = random;
  }

  /** How long a request that arrived now would wait for a slot, in seconds. */
  get expectedSeconds(): number {
    return this.#wait.look().seconds;
  }

  /**
   * Counts a request; each `enter` needs a `leave`.
   *
   * @throws OctavoError `overloaded`, with the limit that is reached
   */
  enter(request: QueuedRequest): void {
    this.assertRoom(request.client, request.promptTokens);
    this.#wait.add(request);
  }

  leave(request: QueuedRequest, times: SlotTimes): void {
    this.#wait.remove(request, times);
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
    for (const other of this.#wait.requests()) {
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
    const { seconds, waiting, waitingOf, room } = this.#wait.look();
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
