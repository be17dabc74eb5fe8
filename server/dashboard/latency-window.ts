/** Each bucket is so much longer than the one before: a percentile is exact to 5 %. */
const GROWTH = 1.05;

/** Seconds: below, everything is the first bucket. */
const SHORTEST = 1e-4;

/** Up to half an hour. */
const BUCKETS = Math.ceil(Math.log(1800 / SHORTEST) / Math.log(GROWTH));

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/**
 * Percentiles of the durations of the last seconds: a histogram with logarithmic buckets for each
 * second, in a ring. Its memory does not depend on how many come.
 */
export class LatencyWindow {
  readonly #slices: Uint32Array[];
  /** The second that each slice counts. */
  readonly #seconds: number[];

  constructor(windowSeconds: number) {
    this.#slices = Array.from({ length: windowSeconds }, () => new Uint32Array(BUCKETS));
    this.#seconds = Array.from({ length: windowSeconds }, () => Number.NEGATIVE_INFINITY);
  }

  /** @param now seconds, monotonic; the same clock for `percentiles` */
  add(seconds: number, count: number, now: number): void {
    const second = Math.floor(now);
    const index = second % this.#slices.length;
    if (this.#seconds[index] !== second) {
      this.#seconds[index] = second;
      this.#slices[index].fill(0);
    }
    this.#slices[index][bucketOf(seconds)] += count;
  }

  /** In seconds; null when nothing came. */
  percentiles(now: number): Percentiles | null {
    const oldest = Math.floor(now) - this.#slices.length;
    const sums = new Uint32Array(BUCKETS);
    let total = 0;
    for (const [index, slice] of this.#slices.entries()) {
      if (this.#seconds[index] <= oldest) continue;
      for (let i = 0; i < BUCKETS; i++) {
        sums[i] += slice[i];
        total += slice[i];
      }
    }
    if (total === 0) return null;
    const at = (share: number): number => {
      let left = Math.ceil(total * share);
      const bucket = sums.findIndex((count) => (left -= count) <= 0);
      return SHORTEST * GROWTH ** bucket;
    };
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }
}

/** The bucket whose name, `SHORTEST * GROWTH ** i`, is nearest by ratio. */
function bucketOf(seconds: number): number {
  const exact = Math.round(Math.log(seconds / SHORTEST) / Math.log(GROWTH));
  return Math.min(BUCKETS - 1, Math.max(0, exact));
}
