import { build, type Histogram } from 'hdr-histogram-js';
import type { GoodputLimits } from './options.js';
import type { LoadResult } from './run-load.js';

/** Milliseconds. */
export interface Latency {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export const LATENCIES = ['ttft', 'itl', 'tpot', 'e2e', 'lag'] as const;
export type LatencyName = (typeof LATENCIES)[number];

/** Summary of a run. Latencies and tokens are those of complete answers. */
export interface Summary {
  /** From the first request's time to the last end; seconds. */
  readonly durationSeconds: number;
  readonly requests: {
    readonly sent: number;
    readonly succeeded: number;
    readonly failed: number;
    /** Still running when the run was ended. */
    readonly cut: number;
    /** How many of each kind. */
    readonly errors: Readonly<Record<string, number>>;
    /** The message of the first error of each kind. */
    readonly errorDetails: Readonly<Record<string, string>>;
  };
  readonly tokens: {
    readonly input: number;
    readonly cachedInput: number;
    readonly output: number;
    /** Sum of the `max_tokens` of complete answers. */
    readonly asked: number;
    /** Complete answers that the model ended before that. */
    readonly endedEarly: number;
    readonly countedBy: 'usage' | 'chunks';
  };
  readonly perSecond: {
    readonly requests: number;
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly totalTokens: number;
  };
  readonly goodput: {
    readonly limitsMs: GoodputLimits;
    readonly requests: number;
    readonly perSecond: number;
    /** Of the requests sent, 0 to 1. */
    readonly share: number;
  } | null;
  readonly latencyMs: Readonly<Record<LatencyName, Latency>>;
}

/** Of one complete answer; milliseconds. */
export interface RequestLatency {
  readonly ttft: number;
  readonly e2e: number;
  /** Null with fewer than two tokens. */
  readonly tpot: number | null;
}

export function latencyOf(
  result: Pick<LoadResult, 'dueMs' | 'firstTokenMs' | 'endMs' | 'outputTokens'>,
): RequestLatency {
  const first = result.firstTokenMs ?? result.endMs;
  const after = result.outputTokens - 1;
  return {
    ttft: first - result.dueMs,
    e2e: result.endMs - result.dueMs,
    tpot: after > 0 ? (result.endMs - first) / after : null,
  };
}

/** Whether a complete answer is within all limits; see `GoodputLimits`. */
export function isGood(result: LoadResult, limits: GoodputLimits): boolean {
  const { ttft, e2e, tpot } = latencyOf(result);
  const within = (value: number | null, limit: number | undefined): boolean =>
    value === null || limit === undefined || value <= limit;
  return (
    within(ttft, limits.ttft) &&
    within(e2e, limits.e2e) &&
    within(tpot, limits.tpot) &&
    (limits.itl === undefined || within(nearestRank(result.gaps, 0.99), limits.itl))
  );
}

/**
 * The smallest value that at least the share `q` of all values does not exceed; null: there are
 * none.
 */
export function nearestRank(values: readonly number[], q: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * values.length) - 1)];
}

export class LatencyHistogram {
  // In microseconds, to three digits: 1 microsecond to hours in some kilobytes.
  readonly #histogram: Histogram = build({
    bitBucketSize: 'packed',
    numberOfSignificantValueDigits: 3,
  });

  add(ms: number): void {
    this.#histogram.recordValue(Math.max(0, Math.round(ms * 1000)));
  }

  percentile(percent: number): number {
    // A percentile is its bucket's upper end, which may lie above the largest value.
    return Math.min(this.#histogram.getValueAtPercentile(percent), this.#histogram.maxValue) / 1000;
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  summary(): Latency {
    const empty = this.count === 0;
    const at = (percent: number): number => (empty ? 0 : this.percentile(percent));
    return {
      count: this.count,
      mean: empty ? 0 : this.#histogram.mean / 1000,
      p50: at(50),
      p90: at(90),
      p95: at(95),
      p99: at(99),
      max: empty ? 0 : this.#histogram.maxValue / 1000,
    };
  }
}

/** One histogram for each kind of latency, over all complete answers. */
export function latencyHistograms(
  results: readonly LoadResult[],
): Readonly<Record<LatencyName, LatencyHistogram>> {
  const histograms = {
    ttft: new LatencyHistogram(),
    itl: new LatencyHistogram(),
    tpot: new LatencyHistogram(),
    e2e: new LatencyHistogram(),
    lag: new LatencyHistogram(),
  };
  for (const result of results) {
    histograms.lag.add(result.sentMs - result.dueMs);
    if (result.error !== null) continue;
    const { ttft, e2e, tpot } = latencyOf(result);
    histograms.ttft.add(ttft);
    histograms.e2e.add(e2e);
    if (tpot !== null) histograms.tpot.add(tpot);
    for (const gap of result.gaps) histograms.itl.add(gap);
  }
  return histograms;
}

export function summarize(results: readonly LoadResult[], limits: GoodputLimits): Summary {
  const complete = results.filter(({ error }) => error === null);
  const errors: Record<string, number> = {};
  const errorDetails: Record<string, string> = {};
  for (const { error, errorDetail } of results) {
    if (error === null || error === 'cut') continue;
    errors[error] = (errors[error] ?? 0) + 1;
    errorDetails[error] ??= errorDetail ?? '';
  }
  const cut = results.filter(({ error }) => error === 'cut').length;
  const begin = Math.min(...results.map(({ dueMs }) => dueMs));
  const end = Math.max(...results.map(({ endMs }) => endMs));
  const seconds = results.length === 0 ? 0 : (end - begin) / 1000;
  const total = (value: (result: LoadResult) => number): number =>
    complete.reduce((sum, result) => sum + value(result), 0);
  const rate = (amount: number): number => (seconds > 0 ? amount / seconds : 0);
  const input = total(({ promptTokens }) => promptTokens);
  const output = total(({ outputTokens }) => outputTokens);
  const good = complete.filter((result) => isGood(result, limits)).length;
  const histograms = latencyHistograms(results);
  return {
    durationSeconds: seconds,
    requests: {
      sent: results.length,
      succeeded: complete.length,
      failed: results.length - complete.length - cut,
      cut,
      errors,
      errorDetails,
    },
    tokens: {
      input,
      cachedInput: total(({ cachedTokens }) => cachedTokens),
      output,
      asked: total(({ maxTokens }) => maxTokens),
      endedEarly: complete.filter(({ finishReason }) => finishReason === 'stop').length,
      countedBy: complete.every(({ countedBy }) => countedBy === 'usage') ? 'usage' : 'chunks',
    },
    perSecond: {
      requests: rate(complete.length),
      inputTokens: rate(input),
      outputTokens: rate(output),
      totalTokens: rate(input + output),
    },
    goodput:
      Object.keys(limits).length === 0
        ? null
        : {
            limitsMs: limits,
            requests: good,
            perSecond: rate(good),
            share: results.length === 0 ? 0 : good / results.length,
          },
    latencyMs: {
      ttft: histograms.ttft.summary(),
      itl: histograms.itl.summary(),
      tpot: histograms.tpot.summary(),
      e2e: histograms.e2e.summary(),
      lag: histograms.lag.summary(),
    },
  };
}
