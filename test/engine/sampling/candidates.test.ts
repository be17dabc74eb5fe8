import { describe, expect, it } from 'vitest';
import { LogitRanker } from '../../../engine/sampling/candidates.js';
import { uniform } from '../../../engine/sampling/random.js';

/** Ranks by a plain sort. */
function ranking(row: Float32Array): number[] {
  return [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
}

const ROWS: Record<string, Float32Array> = {
  'of both signs': Float32Array.from({ length: 5000 }, (_, i) => 20 * uniform(1, i) - 10),
  'with many equals': Float32Array.from(
    { length: 5000 },
    (_, i) => Math.floor(9 * uniform(2, i)) - 4,
  ),
  'all equal': new Float32Array(3000),
  'with zeros of both signs': Float32Array.from({ length: 3000 }, (_, i) => (i % 3 ? -0 : 0)),
  'mostly masked': Float32Array.from({ length: 3000 }, (_, i) =>
    i % 700 === 5 ? i : Number.NEGATIVE_INFINITY,
  ),
  'of tiny and huge numbers': Float32Array.from(
    { length: 3000 },
    (_, i) => Math.sin(i) * 10 ** (70 * uniform(3, i) - 38),
  ),
};

describe('LogitRanker', () => {
  it.each(Object.entries(ROWS))('ranks rows %s as a sort does', (_, row) => {
    const ranker = new LogitRanker();
    const expected = ranking(row);
    for (const wanted of [1, 2, 128, 300, 2999, row.length, 100_000]) {
      const { count, ids, logits, complete } = ranker.largest(row, wanted);
      expect(count).toBe(Math.min(wanted, row.length));
      expect(complete).toBe(wanted >= row.length);
      expect([...ids.subarray(0, count)]).toEqual(expected.slice(0, count));
      expect([...logits.subarray(0, count)]).toEqual(expected.slice(0, count).map((i) => row[i]));
    }
  });

  it('ranks a part of a larger array', () => {
    const row = ROWS['of both signs'].subarray(1234, 4321);
    const { ids } = new LogitRanker().largest(row, 50);
    expect([...ids.subarray(0, 50)]).toEqual(ranking(row).slice(0, 50));
  });
});
