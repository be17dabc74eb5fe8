export const DRAWS = 20_000;

/**
 * Pearson's statistic of many draws over its critical value: a right sampler stays below 1.
 * Infinite when an impossible value was drawn.
 */
export function chiSquare(
  sample: (index: number) => number,
  probabilities: readonly number[],
): number {
  const counts = probabilities.map(() => 0);
  for (let i = 0; i < DRAWS; i++) counts[sample(i)] += 1;
  let statistic = 0;
  let cells = 0;
  // Cells with few expected draws are put together, as the statistic needs them.
  let rare = { expected: 0, count: 0 };
  const add = (expected: number, count: number): void => {
    if (expected === 0) return;
    cells += 1;
    statistic += (count - expected) ** 2 / expected;
  };
  for (const [i, p] of probabilities.entries()) {
    if (p === 0 && counts[i] > 0) return Number.POSITIVE_INFINITY;
    if (DRAWS * p >= 5) add(DRAWS * p, counts[i]);
    else rare = { expected: rare.expected + DRAWS * p, count: rare.count + counts[i] };
  }
  add(rare.expected, rare.count);
  return statistic / critical(Math.max(1, cells - 1));
}

/** 99.99 % point of the chi-square distribution (Wilson and Hilferty 1931). */
function critical(degrees: number): number {
  const a = 2 / (9 * degrees);
  return degrees * (1 - a + 3.719 * Math.sqrt(a)) ** 3;
}
