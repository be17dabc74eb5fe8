import type { FirstTokenTimes } from '../protocol/outputs.js';

/** When a request arrived and began to run, on the engine's clock. Shared by its completions. */
export class RequestTimes {
  readonly #arrivedAt: number;
  #begunAt: number | null = null;

  constructor(arrivedAt: number) {
    this.#arrivedAt = arrivedAt;
  }

  /** At the beginning of each of its steps: the first one counts, also after a preemption. */
  begin(now: number): void {
    this.#begunAt ??= now;
  }

  /** Of a completion's first token. */
  firstToken(now: number): FirstTokenTimes {
    const begunAt = this.#begunAt ?? now;
    return { queued: begunAt - this.#arrivedAt, prefill: now - begunAt };
  }
}
