import { OctavoError } from '../errors.js';

/** A picture of three colors, 8 bits each. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** `[height, width, 3]` */
  readonly data: Uint8Array;
}

/** More would take seconds and gigabytes: a file of some kilobytes may claim any size. */
export const MAX_PIXELS = 50_000_000;

/**
 * Decodes PNG, JPEG, WebP, GIF (its first frame), AVIF and TIFF as transformers does with Pillow:
 * turned as the camera says, without color profile, and with transparency dropped, not mixed.
 *
 * @throws OctavoError `invalid_request` for what is no picture, or too large
 */
export async function decodePixels(bytes: Uint8Array): Promise<Pixels> {
  const { default: sharp } = await import('sharp');
  const options = { limitInputPixels: MAX_PIXELS, ignoreIcc: true, failOn: 'error' } as const;
  try {
    const { data, info } = await sharp(bytes, options)
      .rotate()
      .toColorspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`it has ${info.channels} channels`);
    return { width: info.width, height: info.height, data };
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0];
    throw new OctavoError('invalid_request', `it cannot be decoded: ${reason}`, { cause });
  }
}

/** A part of a picture; what lies outside is left out. */
export function crop(
  { width, height, data }: Pixels,
  left: number,
  top: number,
  size: number,
): Pixels {
  const columns = Math.min(size, width - left);
  const rows = Math.min(size, height - top);
  const part = new Uint8Array(rows * columns * 3);
  for (let row = 0; row < rows; row++) {
    const from = ((top + row) * width + left) * 3;
    part.set(data.subarray(from, from + columns * 3), row * columns * 3);
  }
  return { width: columns, height: rows, data: part };
}

/** How colors become numbers: `(value * scale - mean) / std`, by color. */
export interface Normalization {
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** By color and value: transformers scales to float32, then normalizes in float32. */
export function normalizationTables({ scale, mean, std }: Normalization): Float32Array[] {
  return [0, 1, 2].map((color) =>
    Float32Array.from({ length: 256 }, (_, value) => {
      const scaled = Math.fround(value * scale);
      const centered = Math.fround(scaled - Math.fround(mean[color]));
      return Math.fround(centered / Math.fround(std[color]));
    }),
  );
}

/** Writes a picture as `[3, height, width]`. */
export function writePlanes(
  { width, height, data }: Pixels,
  tables: readonly Float32Array[],
  target: Float32Array,
): void {
  const area = width * height;
  for (let color = 0; color < 3; color++) {
    const table = tables[color];
    for (let i = 0; i < area; i++) target[color * area + i] = table[data[i * 3 + color]];
  }
}
