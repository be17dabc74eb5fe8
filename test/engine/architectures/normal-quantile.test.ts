import { expect, it } from 'vitest';
import { normalQuantile } from '../../../engine/architectures/normal-quantile.js';

// Of tables of the normal distribution.
it.each([
  [0.5, 0],
  [0.95, 1.644853626951472],
  [0.975, 1.959963984540054],
  [0.3, -0.524400512708041],
  [1e-9, -5.997807015007686],
])('%d of the normal distribution lies below %d', (share, expected) => {
  expect(normalQuantile(share)).toBeCloseTo(expected, 6);
});
