/** A mask as probed, in the terms of an attention shape. */
export interface ObservedMask {
  /** Window in tokens; 0 when every row attends to its first token. */
  readonly slidingWindow: number;
  /** One slope for each head; null when scores do not depend on distance. */
  readonly alibiSlopes: Float32Array | null;
}

/** Values that a graph adds to the scores of some queries: `[heads, queries, past + queries]`. */
export interface MaskRows {
  readonly values: ArrayLike<number>;
  readonly heads: number;
  readonly queries: number;
  /** Tokens before the first query. */
  readonly past: number;
}

/**
 * Exporters mask with -inf, the lowest float32 or float16, -1e9 or -10000; after the softmax, each
 * is exactly zero.
 */
const MASKED = -5000;

/**
 * Derives causality, a sliding window and ALiBi (Press et al. 2022) from the values of a mask. A
 * constant that is added to a whole row does not change a softmax: BLOOM adds
 * `slope * key position`, others the distance.
 *
 * @returns a description of the first row that no attention shape can express
 */
export function classifyMask(probes: readonly MaskRows[]): ObservedMask | string {
  let window = 0;
  let longest = 0;
  const slopes: number[] = [];
  for (const probe of probes) {
    for (let head = 0; head < probe.heads; head++) {
      for (let query = 0; query < probe.queries; query++) {
        const row = readRow(probe, head, query);
        if (typeof row === 'string') return row;
        slopes[head] ??= row.slope;
        if (Math.abs(slopes[head] - row.slope) > 1e-3 * Math.max(1e-3, Math.abs(row.slope))) {
          return `the bias of head ${head} does not grow evenly with distance`;
        }
        const position = probe.past + query;
        if (row.first === 0) {
          longest = Math.max(longest, position + 1);
          continue;
        }
        const seen = position - row.first + 1;
        if (window !== 0 && window !== seen) {
          return `a query sees ${window} tokens at one position and ${seen} at another`;
        }
        window = seen;
      }
    }
  }
  if (window !== 0 && longest > window) {
    return `a query sees ${longest} tokens at one position and ${window} at another`;
  }
  const biased = slopes.some((slope) => slope !== 0);
  return { slidingWindow: window, alibiSlopes: biased ? Float32Array.from(slopes) : null };
}

function readRow(
  { values, queries, past }: MaskRows,
  head: number,
  query: number,
): { first: number; slope: number } | string {
  const length = past + queries;
  const position = past + query;
  const start = (head * queries + query) * length;
  const own = values[start + position];
  if (!Number.isFinite(own) || own < MASKED * 1000) {
    return `the query at position ${position} does not see itself`;
  }
  // Neighbors differ by the slope, unless a window of one token has hidden them.
  const step = position > 0 ? own - values[start + position - 1] : 0;
  const near = step < -MASKED ? step : 0;
  let farthest = position;
  const expected = (key: number, slope: number): number => own + slope * (key - position);
  const fits = (key: number, slope: number): boolean =>
    Math.abs(values[start + key] - expected(key, slope)) <=
    1e-3 * Math.max(1, Math.abs(slope * (key - position)));
  while (farthest > 0 && fits(farthest - 1, near)) farthest -= 1;
  // The longest distance gives the most precise slope.
  const slope = farthest < position ? (own - values[start + farthest]) / (position - farthest) : 0;
  for (let key = 0; key < length; key++) {
    if (key >= farthest && key <= position) continue;
    const value = values[start + key];
    if (!(value - expected(key, slope) < MASKED)) {
      const what = key > position ? 'a later token' : 'an earlier one behind a gap';
      return `the query at position ${position} sees position ${key}, ${what}, with the bias ${value}`;
    }
  }
  return { first: farthest, slope };
}
