import { nearestRank } from '../serve/statistics.js';

/** Seconds. */
export interface LatencySummary {
  readonly mean: number;
  readonly p95: number;
  readonly p99: number;
}

/** @param milliseconds at least one */
export function summarizeMs(milliseconds: readonly number[]): LatencySummary {
  const at = (q: number): number => (nearestRank(milliseconds, q) ?? Number.NaN) / 1000;
  const sum = milliseconds.reduce((a, b) => a + b, 0);
  return { mean: sum / milliseconds.length / 1000, p95: at(0.95), p99: at(0.99) };
}
