import { describe, expect, it } from 'vitest';
import { classifyMask, type MaskRows } from '../../../engine/importer/probe/classify-mask.js';

/** A mask by a rule: what a query adds to the score of a key, or null where it does not see it. */
function rows(
  past: number,
  queries: number,
  bias: (query: number, key: number, head: number) => number | null,
  heads = 1,
): MaskRows {
  const length = past + queries;
  const values = Float32Array.from({ length: heads * queries * length }, (_, i) => {
    const query = past + (Math.floor(i / length) % queries);
    return bias(query, i % length, Math.floor(i / length / queries)) ?? -3.4e38;
  });
  return { values, heads, queries, past };
}

const causal = (query: number, key: number): number | null => (key <= query ? 0 : null);

describe('a mask', () => {
  it('is causal', () => {
    const seen = classifyMask([rows(6, 5, causal), rows(90, 5, causal)]);
    expect(seen).toEqual({ slidingWindow: 0, alibiSlopes: null });
  });

  it('has a window, seen where the past is longer', () => {
    const window = (q: number, k: number): number | null => (k <= q && q - k < 24 ? 0 : null);
    const seen = classifyMask([rows(6, 5, window), rows(60, 5, window), rows(95, 5, window)]);
    expect(seen).toEqual({ slidingWindow: 24, alibiSlopes: null });
  });

  it('is ALiBi, whether it counts distances or positions', () => {
    const slopes = [0.25, 0.0625];
    const distance = (q: number, k: number, h: number): number | null =>
      k <= q ? slopes[h] * (k - q) : null;
    const position = (q: number, k: number, h: number): number | null =>
      k <= q ? slopes[h] * k : null;
    for (const bias of [distance, position]) {
      const seen = classifyMask([rows(6, 5, bias, 2), rows(2000, 5, bias, 2)]);
      expect(seen).toEqual({ slidingWindow: 0, alibiSlopes: Float32Array.from(slopes) });
    }
  });

  it.each([
    ['sees what comes later', (): number | null => 0, /sees position \d+, a later token/],
    [
      'sees in chunks',
      (q: number, k: number): number | null =>
        k <= q && Math.floor(k / 16) === Math.floor(q / 16) ? 0 : null,
      /sees \d+ tokens at one position and \d+ at another/,
    ],
    [
      'keeps the first token beside a window',
      (q: number, k: number): number | null => (k === 0 || (k <= q && q - k < 8) ? 0 : null),
      /behind a gap/,
    ],
    [
      'does not see itself',
      (q: number, k: number): number | null => (k < q ? 0 : null),
      /does not see itself/,
    ],
    [
      'bends',
      (q: number, k: number): number | null => (k <= q ? -0.1 * Math.log1p(q - k) : null),
      /sees position|does not grow evenly/,
    ],
  ])('is not described when it %s', (_, bias, reason) => {
    expect(classifyMask([rows(6, 5, bias), rows(60, 5, bias), rows(95, 5, bias)])).toMatch(reason);
  });
});
