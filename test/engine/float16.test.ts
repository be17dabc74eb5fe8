import { expect, it } from 'vitest';
import { fromFloat16, toFloat16 } from '../../engine/float16.js';

const isNan = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;

it('gives back the bits of every float16', () => {
  const wrong = Array.from({ length: 65_536 }, (_, bits) => bits).filter(
    (bits) => !isNan(bits) && toFloat16(fromFloat16(bits)) !== bits,
  );
  expect(wrong).toEqual([]);
  expect(isNan(toFloat16(Number.NaN))).toBe(true);
});

it('rounds to the nearest, and ties to even, from the smallest to infinity', () => {
  const wrong = Array.from({ length: 0x7bff }, (_, bits) => bits).filter((bits) => {
    const [low, high] = [fromFloat16(bits), fromFloat16(bits + 1)];
    return (
      toFloat16((low + high) / 2) !== bits + (bits % 2) ||
      toFloat16(-(low * 0.75 + high * 0.25)) !== (0x8000 | bits) ||
      toFloat16(low * 0.25 + high * 0.75) !== bits + 1
    );
  });
  expect(wrong).toEqual([]);
  expect(toFloat16(65_519)).toBe(0x7bff);
  expect(toFloat16(65_520)).toBe(0x7c00);
  expect(toFloat16(-1e30)).toBe(0xfc00);
  expect(toFloat16(2 ** -25)).toBe(0);
});
