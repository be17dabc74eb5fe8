import { describe, expect, test } from 'vitest';
import { renderMarkdown } from '../../../bench/serve/markdown.js';
import type { BenchServeOptions } from '../../../bench/serve/options.js';
import { cumulative, inFlight, outputRate } from '../../../bench/serve/plot.js';
import type { LoadResult } from '../../../bench/serve/run-load.js';
import {
  isGood,
  LatencyHistogram,
  nearestRank,
  summarize,
} from '../../../bench/serve/statistics.js';
import { linearTicks, logTicks, renderPanels } from '../../../bench/serve/svg.js';

const result = (more: Partial<LoadResult> = {}): LoadResult => ({
  conversation: 0,
  turn: 0,
  dueMs: 0,
  sentMs: 1,
  firstTokenMs: 100,
  endMs: 500,
  gaps: [100, 100, 100, 100],
  text: '',
  promptTokens: 10,
  outputTokens: 5,
  maxTokens: 5,
  cachedTokens: 2,
  countedBy: 'usage',
  finishReason: 'length',
  error: null,
  errorDetail: null,
  ...more,
});

const OPTIONS = {
  endpoint: { url: 'http://x', kind: 'completions' },
  workload: {
    dataset: 'sharegpt',
    inputLength: null,
    outputLength: null,
    sharedPrefix: 0,
    prefixGroups: 1,
    turns: 1,
    seed: 0,
  },
  arrivals: { kind: 'closed', concurrency: 1 },
  count: 3,
} as unknown as BenchServeOptions;

test('percentiles, to three digits', () => {
  const histogram = new LatencyHistogram();
  for (let ms = 1; ms <= 1000; ms++) histogram.add(ms);
  const { count, mean, p50, p90, p99, max } = histogram.summary();
  expect(count).toBe(1000);
  for (const [value, expected] of [
    [mean, 500.5],
    [p50, 500],
    [p90, 900],
    [p99, 990],
    [max, 1000],
  ]) {
    expect(Math.abs(value / expected - 1)).toBeLessThan(0.002);
  }
  expect(new LatencyHistogram().summary()).toMatchObject({ count: 0, mean: 0, p99: 0, max: 0 });
  expect(p99).toBeLessThanOrEqual(max);
});

test('nearest rank', () => {
  const values = Array.from({ length: 200 }, (_, i) => 200 - i);
  expect(nearestRank(values, 0.99)).toBe(198);
  expect(nearestRank([7], 0.99)).toBe(7);
  expect(nearestRank([], 0.99)).toBeNull();
});

describe('summary', () => {
  test('rates, tokens and errors by kind', () => {
    const summary = summarize(
      [
        result(),
        result({ dueMs: 1000, sentMs: 1000, firstTokenMs: 1200, endMs: 2000, outputTokens: 9 }),
        result({
          error: 'http_503',
          errorDetail: 'full',
          firstTokenMs: null,
          outputTokens: 0,
          gaps: [],
        }),
        result({ error: 'http_503', firstTokenMs: null, outputTokens: 0, gaps: [] }),
        result({ error: 'timeout' }),
        result({ error: 'cut' }),
      ],
      { ttft: 150 },
    );
    expect(summary).toMatchObject({
      durationSeconds: 2,
      requests: {
        sent: 6,
        succeeded: 2,
        failed: 3,
        cut: 1,
        errors: { http_503: 2, timeout: 1 },
        errorDetails: { http_503: 'full' },
      },
      tokens: { input: 20, cachedInput: 4, output: 14, countedBy: 'usage' },
      perSecond: { requests: 1, inputTokens: 10, outputTokens: 7, totalTokens: 17 },
      goodput: { requests: 1, perSecond: 0.5, share: 1 / 6 },
    });
    const { ttft, e2e, tpot, itl, lag } = summary.latencyMs;
    expect([ttft.count, e2e.count, itl.count, lag.count]).toEqual([2, 2, 8, 6]);
    expect(ttft.max).toBeCloseTo(200, 0);
    expect(e2e.mean).toBeCloseTo(750, 0);
    // (500 - 100) / 4 and (2000 - 1200) / 8.
    expect(tpot.mean).toBeCloseTo(100, 0);
  });

  test('tells when the model has ended answers before their length', () => {
    const early = result({ finishReason: 'stop', outputTokens: 3, maxTokens: 37 });
    const summary = summarize([early, early, result()], {});
    expect(summary.tokens).toMatchObject({ output: 11, asked: 79, endedEarly: 2 });
    const table = renderMarkdown(summary, OPTIONS, 'm');
    expect(table).toContain(
      '| ended early by the model | 2 of 3: 3.67 tokens out of 26.3 on average; --ignore-eos',
    );
    expect(renderMarkdown(summarize([result()], {}), OPTIONS, 'm')).not.toContain('ended early');
  });

  test('without a request, or without limits', () => {
    expect(summarize([], {})).toMatchObject({ durationSeconds: 0, goodput: null });
    expect(summarize([], { e2e: 1 }).goodput?.share).toBe(0);
  });
});

describe('goodput', () => {
  test.each([
    [{ ttft: 100 }, true],
    [{ ttft: 99 }, false],
    [{ e2e: 500 }, true],
    [{ e2e: 499 }, false],
    [{ tpot: 100 }, true],
    [{ tpot: 99 }, false],
    [{ itl: 100 }, true],
    [{ itl: 99 }, false],
    [{ ttft: 100, itl: 99 }, false],
  ])('%j: %s', (limits, good) => {
    expect(isGood(result(), limits)).toBe(good);
  });

  test('of the gaps, one in a hundred may be long; one token has no gap', () => {
    const gaps = Array.from({ length: 200 }, (_, i) => (i < 2 ? 900 : 10));
    expect(isGood(result({ gaps }), { itl: 10 })).toBe(true);
    expect(isGood(result({ gaps: [...gaps, 900] }), { itl: 10 })).toBe(false);
    expect(isGood(result({ gaps: [], outputTokens: 1 }), { itl: 1, tpot: 1 })).toBe(true);
  });

  test('counts from when the request was due, not from when it was sent', () => {
    expect(isGood(result({ sentMs: 90 }), { ttft: 50 })).toBe(false);
  });
});

describe('plot', () => {
  test('ticks are round and cover the values', () => {
    expect(linearTicks([3, 47])).toEqual([0, 10, 20, 30, 40, 50]);
    expect(linearTicks([0])).toEqual([0, 1]);
    expect(logTicks([3, 47])).toEqual([1, 2, 5, 10, 20, 50, 100]);
    expect(logTicks([0.02, 4000])).toEqual([0.01, 0.1, 1, 10, 100, 1000, 10_000]);
    expect(logTicks([10, 10])).toEqual([10, 20, 50, 100]);
  });

  test('curves: a distribution, chunks over time, requests in flight', () => {
    const histogram = new LatencyHistogram();
    for (let ms = 1; ms <= 100; ms++) histogram.add(ms);
    const points = cumulative(histogram);
    expect(points).toHaveLength(100);
    expect(points[49][0]).toBeCloseTo(50, 0);
    const chunks = outputRate([result()], 500).map(([, rate]) => rate * (0.5 / 120));
    expect(chunks.reduce((sum, value) => sum + value, 0)).toBeCloseTo(5);
    expect(inFlight([result(), result({ sentMs: 250 })], 500).map(([, n]) => n)).toContain(2);
  });

  test('an SVG file with escaped words, also without data', () => {
    const panel = { title: 'a<b', xLabel: 'ms', yLabel: '%', xScale: 'log' } as const;
    const svg = renderPanels('m & n', [
      {
        ...panel,
        curves: [
          {
            name: 'c',
            points: [
              [1, 0],
              [10, 100],
            ],
          },
        ],
      },
      { ...panel, curves: [] },
    ]);
    expect(svg).toContain('m &amp; n');
    expect(svg).toContain('a&lt;b');
    expect(svg).toContain('no data');
    expect(svg).not.toContain('NaN');
  });
});
