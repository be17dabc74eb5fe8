import {
  type Forecast,
  type ForecastRequest,
  SlotForecast,
  type SlotTimes,
} from './slot-forecast.js';

/** Sequences that the mean of those that run is taken over, at least. */
const MIN_SAMPLES = 8;

/**
 * A forecast is good for so long, as long as no request comes or goes: under overload it is asked
 * for thousands of times a second.
 */
const FORECAST_MS = 20;

/** Share of the blocks in use from which on sequences may wait for memory. */
const FULL = 0.5;

/** Of the requests that are let in, so many may wait for longer than the limit. */
const LATE_SHARE = 0.01;

/** Of the limit: the margin at first, at most, and how far one wait moves it. */
const [FIRST_MARGIN, MOST_MARGIN, MARGIN_STEP] = [0.15, 0.5, 0.02];

/** What the engine has to do. */
export interface EngineLoad {
  /** Sequences. */
  readonly running: number;
  /** Sequences. */
  readonly waiting: number;
  /** Share of the KV cache's blocks that sequences hold, 0 to 1. */
  readonly memoryInUse: number;
}

/**
 * How long requests wait for a slot: a forecast from what runs, the slots that there really are,
 * and a margin by which waits exceed what was foretold. The last two are learned from the requests
 * that end.
 */
export class ExpectedWait<Request extends ForecastRequest> {
  readonly #limits: { readonly maxSeconds: number; readonly slots: number };
  readonly #load: () => EngineLoad;
  readonly #now: () => number;
  readonly #forecast: SlotForecast;
  /**
   * Requests that have not ended, in the order in which they came, and for how many seconds each
   * was expected to wait; 0: unknown.
   */
  readonly #alive = new Map<Request, number>();
  /** Sequences that run while others wait: fewer than may where the KV cache holds no more. */
  #slots: number;
  #samples = 0;
  /** Seconds by which waits exceed what was expected, but for one in a hundred. */
  #margin: number;
  #latest: (Forecast & { readonly madeAt: number }) | null = null;

  /**
   * @param limits the longest wait that is allowed, and the sequences that may run
   * @param load of the engine, at most a step old
   * @param now monotonic clock, milliseconds
   */
  constructor(
    limits: { readonly maxSeconds: number; readonly slots: number },
    load: () => EngineLoad,
    now: () => number,
  ) {
    this.#limits = limits;
    this.#slots = limits.slots;
    this.#margin = FIRST_MARGIN * limits.maxSeconds;
    // Until something is measured, as many may wait as can run.
    this.#forecast = new SlotForecast(now, limits.maxSeconds);
    this.#load = load;
    this.#now = now;
  }

  /** Those that have not ended, in the order in which they came. */
  requests(): Iterable<Request> {
    return this.#alive.keys();
  }

  add(request: Request): void {
    this.#alive.set(request, this.#isFounded ? this.look().seconds : 0);
    this.#latest = null;
  }

  /** A request has ended, or is not let in. */
  remove(request: Request, times: SlotTimes): void {
    const expected = this.#alive.get(request);
    if (expected === undefined) return;
    this.#alive.delete(request);
    this.#latest = null;
    if (times.queueMs === null) return;
    this.#judge(expected, times.queueMs / 1000);
    this.#forecast.ended(request, times, this.#slots);
    for (let i = 0; i < request.sequences; i++) this.#measureSlots();
  }

  /** What a request that came now would find. */
  look(): Forecast {
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
}
