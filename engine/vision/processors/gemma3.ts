import { normalizationTables, type Pixels, writePlanes } from '../pixels.js';
import { FILTERS, resize } from '../resample.js';
import { type Process, type Processing, WHOLE } from './processor.js';

export interface Gemma3Settings extends Processing {
  readonly kind: 'gemma3';
  /** What each picture, and each crop of one, is scaled to. */
  readonly height: number;
  readonly width: number;
  /** How long pictures are also shown in crops; null: they are not. */
  readonly crops: CropSettings | null;
}

/** `pan_and_scan` of transformers. */
export interface CropSettings {
  readonly minSize: number;
  readonly most: number;
  /** Of the longer side to the shorter one, from which on there are crops. */
  readonly minRatio: number;
}

/**
 * Gemma 3's: the picture becomes a square of one size, whatever its shape. With `pan_and_scan`,
 * crops along its longer side follow, each as a square of the same size.
 */
export const processGemma3: Process<Gemma3Settings> = (pixels, settings) => {
  const { height, width, crops } = settings;
  const cut = crops ? cropsOf(pixels, crops) : [];
  const tables = normalizationTables(settings);
  const area = 3 * height * width;
  const pieces = [pixels, ...cut];
  const pixelValues = new Float32Array(pieces.length * area);
  for (const [i, piece] of pieces.entries()) {
    const square = resize(piece, width, height, FILTERS[settings.resample]);
    writePlanes(square, tables, pixelValues.subarray(i * area, (i + 1) * area));
  }
  const tiles = cut.length > 0 ? { height: 1, width: cut.length } : WHOLE;
  const dims = [pieces.length, 3, height, width];
  return { pixelValues, dims, grid: null, layout: { tiles, tokens: null } };
};

function cropsOf(pixels: Pixels, { minSize, most, minRatio }: CropSettings): Pixels[] {
  const { height, width } = pixels;
  const [long, short] = width >= height ? [width, height] : [height, width];
  if (long / short < minRatio) return [];
  const wanted = Math.min(Math.floor(long / minSize), Math.floor(long / short + 0.5));
  const count = Math.min(most, Math.max(2, wanted));
  const size = Math.ceil(long / count);
  if (Math.min(size, short) < minSize) return [];
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [i * size, Math.min((i + 1) * size, long)];
    return width >= height ? columns(pixels, from, to) : rows(pixels, from, to);
  });
}

function rows({ width, data }: Pixels, from: number, to: number): Pixels {
  return { width, height: to - from, data: data.subarray(from * width * 3, to * width * 3) };
}

function columns({ width, height, data }: Pixels, from: number, to: number): Pixels {
  const length = (to - from) * 3;
  const part = new Uint8Array(height * length);
  for (let row = 0; row < height; row++) {
    const start = (row * width + from) * 3;
    part.set(data.subarray(start, start + length), row * length);
  }
  return { width: to - from, height, data: part };
}
