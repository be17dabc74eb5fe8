import { OutputLengths } from '../../scheduler/prediction/output-lengths.js';

/** Minimum number of sequences in a mean. */
const MIN_SAMPLES = 8;

/** The pace follows the load within so many tokens of each slot. */
const PACE_TOKENS = 128;

/** What is known of a request's work now. */
export interface Progress {
  /** When its first token came, milliseconds; null: it still waits for it. */
  readonly firstTokenAt: number | null;
  /** Of all its sequences. */
  readonly tokens: number;
  /** It computes nothing, and holds no slot, until its client has read. */
  readonly isPaused: boolean;
}

/** Sequences that run or wait. */
export interface ForecastRequest {
  /** Whose it is. */
  readonly client: string;
  readonly sequences: number;
  /** Of each sequence, at most. */
  readonly maxTokens: number;
  progress(): Progress;
}

/** How a request's first step was reached, as the engine tells it. Milliseconds. */
export interface SlotTimes {
  /** From its arrival to the first step; null: it never got a slot. */
  readonly queueMs: number | null;
  /** From there to the first token; null: there was none. */
  readonly prefillMs: number | null;
}

export interface Forecast {
  /** Until the next request that came would get a slot; 0: one is free. */
  readonly seconds: number;
  /** Sequences that have no slot. */
  readonly waiting: number;
  /** Of those, each client's. */
  readonly waitingOf: ReadonlyMap<string, number>;
  /**
   * Sequences that could come now and get a slot in time: counted until they are more than a third
   * of those that wait.
   */
  readonly room: number;
}

/**
 * Foretells when slots become free. A mean rate does not do: sequences that begin together end
 * together, so those that come right after them wait for a whole generation. Instead each sequence
 * that runs is expected to end when it has got the tokens that it still lacks, at the pace at which
 * sequences get them now. Each that waits takes the slot that becomes free first, in the order of
 * arrival, and holds it for a prefill and an output of the length that is to be expected of it.
 */
export class SlotForecast {
  readonly #now: () => number;
  readonly #priorSeconds: number;
  readonly #lengths = new OutputLengths();
  /** Whether a sequence has ended, from which on lengths, pace and prefill are known. */
  #isMeasured = false;
  /** Seconds from one token of a sequence to the next. */
  #pace = 0;
  /** From a slot to the first token, seconds. */
  #prefill = 0;
  #prefills = 0;
  /** What running requests had when they were looked at last, and when that was. */
  #seen = new Map<ForecastRequest, number>();
  #seenAt = 0;
  /**
   * Of sequences, since the pace was taken: seconds in which they were to get tokens, and the
   * tokens that they got.
   */
  #seconds = 0;
  #tokens = 0;

  /**
   * @param now monotonic clock, milliseconds
   * @param priorSeconds for which a sequence is taken to hold its slot, until one has ended
   */
  constructor(now: () => number, priorSeconds: number) {
    this.#now = now;
    this.#priorSeconds = priorSeconds;
  }

  /** A request has ended, having had a slot: to be called while its progress is known. */
  ended(request: ForecastRequest, { prefillMs }: SlotTimes, slots: number): void {
    const { sequences, maxTokens } = request;
    const progress = request.progress();
    this.#see(request, progress, this.#now());
    this.#seen.delete(request);
    if (prefillMs === null) return;
    this.#isMeasured = true;
    if (maxTokens > 0) {
      for (let i = 0; i < sequences; i++) this.#lengths.add(progress.tokens / sequences, maxTokens);
    }
    this.#prefills = Math.min(this.#prefills + 1, Math.max(MIN_SAMPLES, slots));
    this.#prefill += (prefillMs / 1000 - this.#prefill) / this.#prefills;
  }

  /**
   * @param requests in the order of their arrival
   * @param slots sequences that can run at a time
   * @param inTime seconds
   */
  look(requests: Iterable<ForecastRequest>, slots: number, inTime: number): Forecast {
    const now = this.#now();
    const ends: number[] = [];
    const seen = new Map<ForecastRequest, number>();
    const unbegun: ForecastRequest[] = [];
    for (const request of requests) {
      const progress = request.progress();
      this.#see(request, progress, now);
      if (progress.firstTokenAt !== null) seen.set(request, progress.tokens);
      if (progress.isPaused) continue;
      if (progress.firstTokenAt === null) {
        unbegun.push(request);
        continue;
      }
      const left = this.#outputSeconds(progress.tokens / request.sequences, request.maxTokens);
      for (let i = 0; i < request.sequences; i++) ends.push(left);
    }
    this.#seen = seen;
    this.#seenAt = now;
    this.#takePace(slots);
    const spare = Math.max(0, Math.round(slots) - ends.length);
    const free = [...Array.from({ length: spare }, () => 0), ...ends.sort((a, b) => a - b)];
    return this.#place(free, unbegun, inTime);
  }

  /**
   * Gives a slot to each sequence that has none, in order.
   *
   * @param free when each slot becomes free, in seconds, ascending
   */
  #place(free: number[], unbegun: readonly ForecastRequest[], inTime: number): Forecast {
    const take = (holding: number): number => {
      const at = free.shift() ?? 0;
      insert(free, at + holding);
      return at;
    };
    let [waiting, placed, held] = [0, 0, 0];
    const waitingOf = new Map<string, number>();
    for (const request of unbegun) {
      const { client, sequences } = request;
      const holding = this.#holdingSeconds(request);
      for (let i = 0; i < sequences; i++) {
        if (take(holding) === 0) continue;
        waiting += 1;
        waitingOf.set(client, (waitingOf.get(client) ?? 0) + 1);
      }
      placed += sequences;
      held += sequences * holding;
    }
    const seconds = free[0] ?? 0;
    let room = 0;
    while (room <= waiting / 3 && take(held / placed) <= inTime) room += 1;
    return { seconds, waiting, waitingOf, room };
  }

  #holdingSeconds({ maxTokens }: ForecastRequest): number {
    if (!this.#isMeasured) return this.#priorSeconds;
    return this.#prefill + this.#outputSeconds(0, maxTokens);
  }

  #outputSeconds(tokens: number, maxTokens: number): number {
    if (!this.#isMeasured) return this.#priorSeconds;
    return this.#lengths.remaining(tokens, maxTokens) * this.#pace;
  }

  /** Counts what a request has got since it was looked at. */
  #see(request: ForecastRequest, { firstTokenAt, tokens, isPaused }: Progress, now: number): void {
    if (firstTokenAt === null || isPaused) return;
    // The first token of each sequence comes with the prefill.
    const before = this.#seen.get(request) ?? request.sequences;
    const since = Math.max(this.#seenAt, firstTokenAt);
    this.#seconds += (request.sequences * Math.max(0, now - since)) / 1000;
    this.#tokens += Math.max(0, tokens - before);
  }

  #takePace(slots: number): void {
    if (this.#tokens === 0) return;
    const sample = this.#seconds / this.#tokens;
    const weight = this.#pace === 0 ? 1 : 1 - Math.exp(-this.#tokens / (PACE_TOKENS * slots));
    this.#pace += weight * (sample - this.#pace);
    this.#seconds = 0;
    this.#tokens = 0;
  }
}

/** Keeps the order. */
function insert(sorted: number[], value: number): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  sorted.splice(low, 0, value);
}
