/** Interval that holds all quantiles that doubles can tell apart from its ends. */
const WIDEST = 9;

/**
 * The number below which a share of the standard normal distribution lies.
 *
 * @param share above 0 and below 1
 */
export function normalQuantile(share: number): number {
  // In the upper half, where the sum below loses no digits.
  if (share < 0.5) return -normalQuantile(1 - share);
  let [low, high] = [0, WIDEST];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (shareBelow(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Distribution function of the normal distribution, x >= 0 (Marsaglia 2004). */
function shareBelow(x: number): number {
  let [sum, term] = [x, x];
  for (let odd = 3; term > sum * Number.EPSILON; odd += 2) {
    term *= (x * x) / odd;
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}
