import { expect, it } from 'vitest';
import type { EncodedImage } from '../../../engine/vision/encode-image.js';
import { RowCache } from '../../../engine/vision/row-cache.js';

const image = (floats: number): EncodedImage => ({
  rows: new Float32Array(floats),
  deepstack: [],
  numRows: 1,
  width: floats,
  grid: null,
  layout: { tiles: { height: 0, width: 0 }, tokens: null },
});

it('keeps the images that were used last, within its bytes', () => {
  const cache = new RowCache(100);
  const [a, b, c] = [image(10), image(10), image(10)];
  cache.set('a', a);
  cache.set('b', b);
  expect(cache.get('a')).toBe(a);
  cache.set('c', c);
  cache.checkIntegrity();
  expect(cache.get('b')).toBeNull();
  expect([cache.get('a'), cache.get('c')]).toEqual([a, c]);
  cache.set('large', image(26));
  expect(cache.get('large')).toBeNull();
  expect([cache.bytes, cache.hits, cache.queries]).toEqual([80, 3, 5]);
  cache.checkIntegrity();
});
