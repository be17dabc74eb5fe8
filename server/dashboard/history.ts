/** The newest things of a stream, numbered from 0 on: the oldest gives way to the newest. */
export class Ring<T> {
  readonly #items: T[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Number of the thing that comes next. */
  get next(): number {
    return this.#next;
  }

  add(item: T): void {
    this.#items[this.#next++ % this.#capacity] = item;
  }

  /** Those with this number and later ones, oldest first, as far as they are still there. */
  since(number: number): T[] {
    const first = Math.max(number, this.#next - this.#capacity, 0);
    return Array.from(
      { length: Math.max(0, this.#next - first) },
      (_, i) => this.#items[(first + i) % this.#capacity],
    );
  }
}

/** A generation that is over. */
export interface EndedRequest {
  readonly id: string;
  /** When it ended, milliseconds on the server's clock. */
  readonly endedAt: number;
  /** From its arrival to its end, in milliseconds. */
  readonly ms: number;
  readonly promptTokens: number;
  readonly generated: number;
  /** Tokens a second, from the first to the last; null: fewer than two came. */
  readonly rate: number | null;
  /** The finish reason, or the kind of the error that ended it. */
  readonly finish: string;
  readonly status: number;
}

/** What a request's record must say. */
interface Generation {
  readonly id: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** From the arrival to the first token, and to the last. */
  readonly ttftMs: number | null;
  readonly generatedMs: number | null;
  readonly finishReason: string | null;
}

/** So many are kept. */
const KEPT = 50;

/** The generations that ended last. */
export class EndedRequests extends Ring<EndedRequest> {
  constructor() {
    super(KEPT);
  }

  /**
   * @param now on the server's clock, like `arrivedAt`
   * @param failure kind of the error that ended it, if one did
   */
  note(
    record: Generation,
    request: { arrivedAt: number; now: number; status: number; failure: string | null },
  ): void {
    const { id, promptTokens, completionTokens, ttftMs, generatedMs, finishReason } = record;
    const { arrivedAt, now, status, failure } = request;
    const ms = ttftMs === null || generatedMs === null ? 0 : generatedMs - ttftMs;
    this.add({
      id,
      endedAt: Math.round(now),
      ms: Math.round(now - arrivedAt),
      promptTokens,
      generated: completionTokens,
      rate: completionTokens > 1 && ms > 0 ? (1000 * (completionTokens - 1)) / ms : null,
      finish: failure ?? finishReason ?? String(status),
      status,
    });
  }
}
