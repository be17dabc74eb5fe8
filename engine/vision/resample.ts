import type { Pixels } from './pixels.js';

/** A filter of Pillow, by the number that processors' configurations have. */
export interface ResampleFilter {
  /** Half of its width, in pixels of the source where it is not made smaller. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Pillow's numbers: `PIL.Image.Resampling`. */
export const FILTERS: Readonly<Record<number, ResampleFilter>> = {
  1: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
  2: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  3: { support: 2, weight: bicubic },
};

/** Keys 1981, with a of -0.5. */
function bicubic(signed: number): number {
  const [x, a] = [Math.abs(signed), -0.5];
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Pillow's fixed point: 8 bits of color and 2 of room are left of 32. */
const PRECISION = 2 ** (32 - 8 - 2);

/**
 * Resizes as Pillow does (`ImagingResample`), bit by bit: two passes, across and then down, each
 * rounded to 8 bits; a filter grows with the factor by which the picture shrinks.
 */
export function resize(
  pixels: Pixels,
  width: number,
  height: number,
  filter: ResampleFilter,
): Pixels {
  const across = width === pixels.width ? pixels : resizeRows(pixels, width, filter);
  if (height === pixels.height) return across;
  return transposed(resizeRows(transposed(across), height, filter));
}

interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `[size, longest]`, in fixed point. */
  readonly weights: Float64Array;
  readonly longest: number;
}

function tapsOf(from: number, to: number, { support: half, weight }: ResampleFilter): Taps {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = half * stretch;
  const longest = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const weights = new Float64Array(to * longest);
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    first[i] = begin;
    count[i] = end - begin;
    const own = weights.subarray(i * longest, (i + 1) * longest);
    let sum = 0;
    for (let k = 0; k < end - begin; k++) {
      own[k] = weight((k + begin - center + 0.5) * (1 / stretch));
      sum += own[k];
    }
    for (let k = 0; k < end - begin; k++) {
      const fixed = own[k] * (sum === 0 ? 1 : 1 / sum) * PRECISION;
      own[k] = Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
  }
  return { first, count, weights, longest };
}

function resizeRows(
  { width: from, height, data }: Pixels,
  width: number,
  filter: ResampleFilter,
): Pixels {
  const { first, count, weights, longest } = tapsOf(from, width, filter);
  const result = new Uint8ClampedArray(width * height * 3);
  for (let row = 0; row < height; row++) {
    const source = row * from * 3;
    let target = row * width * 3;
    for (let column = 0; column < width; column++) {
      let [red, green, blue] = [PRECISION / 2, PRECISION / 2, PRECISION / 2];
      let at = source + first[column] * 3;
      const taps = column * longest;
      for (let k = 0; k < count[column]; k++, at += 3) {
        const factor = weights[taps + k];
        red += data[at] * factor;
        green += data[at + 1] * factor;
        blue += data[at + 2] * factor;
      }
      // (Clamped arrays round, and Pillow shifts bits away.)
      result[target++] = Math.floor(red / PRECISION);
      result[target++] = Math.floor(green / PRECISION);
      result[target++] = Math.floor(blue / PRECISION);
    }
  }
  return { width, height, data: new Uint8Array(result.buffer) };
}

function transposed({ width, height, data }: Pixels): Pixels {
  const result = new Uint8Array(data.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (row * width + column) * 3;
      const to = (column * height + row) * 3;
      result[to] = data[from];
      result[to + 1] = data[from + 1];
      result[to + 2] = data[from + 2];
    }
  }
  return { width: height, height: width, data: result };
}
