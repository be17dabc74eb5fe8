import { OctavoError } from '../../engine/errors.js';

export interface QueueLimits {
  /** Requests that wait for their first token; 0: any number. */
  readonly maxRequests: number;
  /** Prompt tokens of those requests together; 0: any number. */
  readonly maxTokens: number;
}

/** A request in the queue's books. */
export interface Waiting {
  readonly promptTokens: number;
  /** False from its first token on. */
  readonly waits: () => boolean;
}

/**
 * Bounds the work that waits. A queue that grows without bound makes everybody wait, and those who gave up are served too; a bound
 * keeps the latency of those who are let in, and tells the others at once.
 */
export class QueueLimit {
  readonly #limits: QueueLimits;
  readonly #alive = new Set<Waiting>();

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /**
   * Takes a request into the books; each `enter` needs its `leave`.
   *
   * @throws OctavoError `overloaded` with the number that is reached
   */
  enter(request: Waiting): void {
    this.assertRoom(request.promptTokens);
    this.#alive.add(request);
  }

  /**
   * Changes nothing.
   *
   * @param promptTokens of the request that would enter; the shortest prompt has one
   * @throws OctavoError `overloaded` with the number that is reached
   */
  assertRoom(promptTokens = 1): void {
    const { maxRequests, maxTokens } = this.#limits;
    let requests = 0;
    let tokens = 0;
    for (const other of this.#alive) {
      if (!other.waits()) continue;
      requests += 1;
      tokens += other.promptTokens;
    }
    if (maxRequests > 0 && requests >= maxRequests) {
      throw overloaded(`${requests} requests wait already; at most ${maxRequests} may`);
    }
    // A request that finds nobody waiting is let in whatever its size: there is nothing to wait for.
    if (maxTokens > 0 && requests > 0 && tokens + promptTokens > maxTokens) {
      throw overloaded(`${tokens} prompt tokens wait already; at most ${maxTokens} may`);
    }
  }

  leave(request: Waiting): void {
    this.#alive.delete(request);
  }
}

function overloaded(what: string): OctavoError {
  return new OctavoError('overloaded', `the server is overloaded: ${what}`);
}
