import { OctavoError } from '../../engine/errors.js';

/** A client is never told to stay away for longer: the official clients ignore more. */
const MAX_RETRY_AFTER_S = 60;

/** Sequences that means are taken over, at least. */
const MIN_SAMPLES = 8;

export interface QueueLimits {
  /** Requests that wait for their first token; 0: any number. */
  readonly maxRequests: number;
  /** Prompt tokens of those requests together; 0: any number. */
  readonly maxTokens: number;
  /** Seconds that a request may be expected to wait for a slot; 0: any time. */
  readonly maxSeconds: number;
  /** Sequences that may run at the same time. */
  readonly slots: number;
}

/** Sequences in the engine's hands. */
export interface EngineLoad {
  readonly running: number;
  readonly waiting: number;
}

/** A request in the queue's books. */
export interface QueuedRequest {
  readonly promptTokens: number;
  /** Slots that it takes. */
  readonly sequences: number;
  /** False from its first token on. */
  readonly waits: () => boolean;
}

/**
 * Bounds the work that waits for a first token. Under a load that is too large an unbounded queue grows until every
 * client has given up and the server computes answers for none; a bounded one keeps the latency of the admitted.
 *
 * The bound that matters by itself is one of time. While all slots are taken, sequences leave at the rate slots over
 * mean holding time (Little's law), so what is ahead in the queue says how long a request would wait. Both are means
 * over the sequences that ended last, not over time: sequences that end together do not disturb them.
 */
export class Queue {
  readonly #limits: QueueLimits;
  readonly #load: () => EngineLoad;
  readonly #now: () => number;
  readonly #random: () => number;
  /** Requests that have not ended, and when they entered. */
  readonly #alive = new Map<QueuedRequest, number>();
  /** Of all those requests. */
  #sequences = 0;
  /**
   * Sequences that run while others wait: fewer than may where the KV cache, or the tokens of a step, hold no more.
   */
  #slots: number;
  /** How long a sequence holds its slot. Until something is measured, as many may wait as can run. */
  #holdingSeconds: number;
  #samples = 0;

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
    this.#holdingSeconds = limits.maxSeconds;
    this.#load = load;
    this.#now = now;
    this.#random = random;
  }

  /** How long a request that arrived now would wait for a slot, in seconds. */
  get expectedSeconds(): number {
    const ahead = Math.max(0, this.#sequences - this.#slots + 1);
    return (ahead / this.#slots) * this.#holdingSeconds;
  }

  /**
   * Takes a request into the books; each `enter` needs its `leave`.
   *
   * @throws OctavoError `overloaded`, with the limit that is reached
   */
  enter(request: QueuedRequest): void {
    this.assertRoom(request.promptTokens);
    this.#alive.set(request, this.#now());
    this.#sequences += request.sequences;
  }

  /** @param queuedMs how long it waited for its slot; null: it never got one */
  leave(request: QueuedRequest, queuedMs: number | null): void {
    const enteredAt = this.#alive.get(request);
    if (enteredAt === undefined) return;
    this.#alive.delete(request);
    this.#sequences -= request.sequences;
    if (queuedMs === null) return;
    const seconds = (this.#now() - enteredAt - queuedMs) / 1000;
    for (let i = 0; i < request.sequences; i++) this.#measure(Math.max(0, seconds));
  }

  /**
   * Changes nothing, and costs little: it is asked for every request under overload.
   *
   * @param promptTokens of the request that would enter; the shortest prompt has one
   * @throws OctavoError `overloaded`, with the limit that is reached
   */
  assertRoom(promptTokens = 1): void {
    const { maxRequests, maxTokens, maxSeconds } = this.#limits;
    // A request that finds none waiting is let in, however long the running ones take.
    if (maxSeconds > 0 && this.#sequences > this.#slots) {
      const seconds = this.expectedSeconds;
      if (seconds > maxSeconds) {
        throw this.#overloaded(
          `a request would wait about ${seconds.toPrecision(2)} s for its turn; at most ${maxSeconds} s are allowed`,
        );
      }
    }
    if (maxRequests === 0 && maxTokens === 0) return;
    let requests = 0;
    let tokens = 0;
    for (const other of this.#alive.keys()) {
      if (!other.waits()) continue;
      requests += 1;
      tokens += other.promptTokens;
    }
    if (maxRequests > 0 && requests >= maxRequests) {
      throw this.#overloaded(`${requests} requests wait already; at most ${maxRequests} may`);
    }
    // Likewise, whatever its size.
    if (maxTokens > 0 && requests > 0 && tokens + promptTokens > maxTokens) {
      throw this.#overloaded(`${tokens} prompt tokens wait already; at most ${maxTokens} may`);
    }
  }

  /** Plain means at first, then ones that follow the load within about as many sequences as may run. */
  #measure(holdingSeconds: number): void {
    this.#samples = Math.min(this.#samples + 1, Math.max(MIN_SAMPLES, this.#limits.slots));
    const { running, waiting } = this.#load();
    const slots = waiting > 0 ? Math.max(1, running) : this.#limits.slots;
    const weight = 1 / this.#samples;
    this.#slots += weight * (slots - this.#slots);
    this.#holdingSeconds += weight * (holdingSeconds - this.#holdingSeconds);
  }

  /**
   * Clients that were refused together must not come back together: the time to stay away is drawn between the
   * expected wait and twice of it.
   */
  #overloaded(what: string): OctavoError {
    const wait = Math.max(1, Math.ceil(this.expectedSeconds));
    const jitter = Math.floor(this.#random() * (wait + 1));
    return new OctavoError('overloaded', `the server is overloaded: ${what}`, {
      retryAfterSeconds: Math.min(MAX_RETRY_AFTER_S, wait + jitter),
    });
  }
}
