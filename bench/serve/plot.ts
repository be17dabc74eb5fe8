import type { LoadResult } from './run-load.js';
import { type LatencyHistogram, latencyHistograms } from './statistics.js';
import { type Curve, renderPanels } from './svg.js';

const TIMELINE_POINTS = 120;

/** Distributions of the latencies, and the run over time, as one SVG file. */
export function renderPlot(results: readonly LoadResult[], title: string): string {
  const { ttft, itl, e2e } = latencyHistograms(results);
  const distribution = (name: string, histogram: LatencyHistogram): Curve => ({
    name,
    points: cumulative(histogram),
  });
  const lastEnd = results.reduce((last, { endMs }) => Math.max(last, endMs), 0);
  return renderPanels(title, [
    {
      title: 'time to first token, end to end',
      xLabel: 'ms',
      yLabel: 'share of requests, %',
      xScale: 'log',
      curves: [distribution('TTFT', ttft), distribution('E2E', e2e)],
    },
    {
      title: 'inter-token latency',
      xLabel: 'ms',
      yLabel: 'share of gaps, %',
      xScale: 'log',
      curves: [distribution('ITL', itl)],
    },
    {
      title: 'output',
      xLabel: 's',
      yLabel: 'chunks a second',
      xScale: 'linear',
      curves: [{ name: 'all requests', points: outputRate(results, lastEnd) }],
    },
    {
      title: 'requests',
      xLabel: 's',
      yLabel: 'in flight',
      xScale: 'linear',
      curves: [{ name: 'in flight', points: inFlight(results, lastEnd) }],
    },
  ]);
}

/** Percentiles as points (ms, percent); none for an empty histogram. */
export function cumulative(histogram: LatencyHistogram): [number, number][] {
  if (histogram.count === 0) return [];
  const percents = Array.from({ length: 100 }, (_, i) => i + 0.5);
  return percents.map((percent) => [Math.max(0.001, histogram.percentile(percent)), percent]);
}

/** Points (seconds, chunks a second) over buckets of equal length. */
export function outputRate(results: readonly LoadResult[], lastEnd: number): [number, number][] {
  if (lastEnd <= 0) return [];
  const width = lastEnd / TIMELINE_POINTS;
  const counts = Array.from({ length: TIMELINE_POINTS }, () => 0);
  const count = (at: number): void => {
    counts[Math.min(TIMELINE_POINTS - 1, Math.floor(at / width))]++;
  };
  for (const { firstTokenMs, gaps } of results) {
    if (firstTokenMs === null) continue;
    let at = firstTokenMs;
    count(at);
    for (const gap of gaps) count((at += gap));
  }
  return counts.map((value, i) => [((i + 0.5) * width) / 1000, value / (width / 1000)]);
}

/** Points (seconds, requests), sampled. */
export function inFlight(results: readonly LoadResult[], lastEnd: number): [number, number][] {
  return Array.from({ length: TIMELINE_POINTS }, (_, i) => {
    const at = ((i + 0.5) * lastEnd) / TIMELINE_POINTS;
    const running = results.filter(({ sentMs, endMs }) => sentMs <= at && at < endMs).length;
    return [at / 1000, running];
  });
}
