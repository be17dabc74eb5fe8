import { describe, expect, it } from 'vitest';
import { FrequencySketch, hashBits } from '../../../kvcache/eviction/frequency-sketch.js';
import { contentHash } from '../../support/sequences.js';

describe('FrequencySketch', () => {
  it('counts uses, up to 15', () => {
    const sketch = new FrequencySketch(64);
    const counts = Array.from({ length: 20 }, () => sketch.add(contentHash('a')));
    expect(counts).toEqual(Array.from({ length: 20 }, (_, i) => Math.min(15, i + 1)));
    expect(sketch.count(contentHash('b'))).toBe(0);
  });

  it('halves all counts now and then', () => {
    const sketch = new FrequencySketch(4);
    for (let i = 0; i < 8; i++) sketch.add(contentHash('a'));
    for (let i = 0; i < 56; i++) sketch.add(contentHash(`other ${i % 2}`));
    expect(sketch.count(contentHash('a'))).toBe(4);
  });
});

describe('hashBits', () => {
  it('spreads hashes evenly', () => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4000; i++) counts[hashBits(contentHash(`${i}`), 20) % 4] += 1;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });
});
