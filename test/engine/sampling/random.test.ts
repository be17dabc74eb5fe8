import { describe, expect, it } from 'vitest';
import { philox, SEED_LIMIT, seedOf, uniform } from '../../../engine/sampling/random.js';

const words = (hex: string): number[] => hex.split(' ').map((word) => Number.parseInt(word, 16));

describe('Philox4x32-10', () => {
  // The three vectors that its authors publish with Random123 (tests/kat_vectors).
  it.each([
    [
      '00000000 00000000 00000000 00000000',
      '00000000 00000000',
      '6627e8d5 e169c58d bc57ac4c 9b00dbd8',
    ],
    [
      'ffffffff ffffffff ffffffff ffffffff',
      'ffffffff ffffffff',
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    ],
    [
      '243f6a88 85a308d3 13198a2e 03707344',
      'a4093822 299f31d0',
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ])('of counter %s and key %s gives %s', (counter, key, block) => {
    const written = new Uint32Array(4);
    philox(words(counter), words(key), written);
    expect([...written]).toEqual(words(block));
  });
});

describe('uniform numbers', () => {
  it('are the first 53 bits of a block', () => {
    expect(uniform(0, 0)).toBe(((0x6627e8d5 >>> 5) * 2 ** 26 + (0xe169c58d >>> 6)) / 2 ** 53);
  });

  it('stay below 1, and differ by both words of seed and counter', () => {
    const drawn = new Set<number>();
    const edges = [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, SEED_LIMIT - 1];
    for (const seed of edges) for (const counter of edges) drawn.add(uniform(seed, counter));
    expect(drawn.size).toBe(edges.length ** 2);
    expect(Math.max(...drawn)).toBeLessThan(1);
  });
});

describe('the seeds of a request', () => {
  it('follow one another, and begin again behind the last', () => {
    expect(seedOf(7, 3)).toBe(10);
    expect(seedOf(2 ** 32 - 1, 1)).toBe(2 ** 32);
    expect(seedOf(SEED_LIMIT - 1, 0)).toBe(SEED_LIMIT - 1);
    expect(seedOf(SEED_LIMIT - 1, 1)).toBe(0);
    expect(seedOf(SEED_LIMIT - 2, 3)).toBe(1);
  });
});
