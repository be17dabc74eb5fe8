import { Ring } from './ring.js';

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
