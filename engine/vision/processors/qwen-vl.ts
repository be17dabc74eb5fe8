import { OctavoError } from '../../errors.js';
import { normalizationTables } from '../pixels.js';
import { FILTERS, resize } from '../resample.js';
import { type Process, type Processing, WHOLE } from './processor.js';

export interface QwenVlSettings extends Processing {
  readonly kind: 'qwen-vl';
  readonly patchSize: number;
  readonly mergeSize: number;
  readonly temporalPatchSize: number;
  readonly minPixels: number;
  readonly maxPixels: number;
}

/** The longest picture, by its shorter side. */
const MAX_RATIO = 200;

/**
 * The Qwen-VL family's: the picture keeps its shape, rounded to patches, within bounds of its
 * number of pixels; patches of a square that becomes one token follow one another.
 */
export const processQwenVl: Process<QwenVlSettings> = (pixels, settings) => {
  const { patchSize, mergeSize, temporalPatchSize } = settings;
  const { height, width } = sizeOf(pixels.height, pixels.width, settings);
  const { data } = resize(pixels, width, height, FILTERS[settings.resample]);
  const tables = normalizationTables(settings);
  const [rows, columns] = [height / patchSize, width / patchSize];
  const patchArea = patchSize * patchSize;
  const patchLength = 3 * temporalPatchSize * patchArea;
  const pixelValues = new Float32Array(rows * columns * patchLength);
  let at = 0;
  const writePatch = (row: number, column: number): void => {
    for (let color = 0; color < 3; color++) {
      const first = at;
      for (let y = 0; y < patchSize; y++) {
        let from = ((row * patchSize + y) * width + column * patchSize) * 3 + color;
        for (let x = 0; x < patchSize; x++, from += 3)
          pixelValues[at++] = tables[color][data[from]];
      }
      // A still picture fills all of a patch's time.
      for (let time = 1; time < temporalPatchSize; time++, at += patchArea) {
        pixelValues.copyWithin(at, first, first + patchArea);
      }
    }
  };
  for (let top = 0; top < rows; top += mergeSize) {
    for (let left = 0; left < columns; left += mergeSize) {
      for (let y = 0; y < mergeSize; y++) {
        for (let x = 0; x < mergeSize; x++) writePatch(top + y, left + x);
      }
    }
  }
  const tokens = { height: rows / mergeSize, width: columns / mergeSize };
  return {
    pixelValues,
    dims: [rows * columns, patchLength],
    grid: [1, rows, columns],
    layout: { tiles: WHOLE, tokens },
  };
};

/** `smart_resize` of transformers. */
function sizeOf(
  height: number,
  width: number,
  settings: QwenVlSettings,
): { height: number; width: number } {
  const { patchSize, mergeSize, minPixels, maxPixels } = settings;
  if (Math.max(height, width) / Math.min(height, width) > MAX_RATIO) {
    const message = `it is ${width} x ${height}; one side may be at most ${MAX_RATIO} times the other`;
    throw new OctavoError('invalid_request', message);
  }
  const factor = patchSize * mergeSize;
  const rounded = (side: number): number => roundHalfEven(side / factor) * factor;
  const size = { height: rounded(height), width: rounded(width) };
  const area = size.height * size.width;
  if (area > maxPixels) {
    const shrink = Math.sqrt((height * width) / maxPixels);
    const side = (given: number): number =>
      Math.max(factor, Math.floor(given / shrink / factor) * factor);
    return { height: side(height), width: side(width) };
  }
  if (area >= minPixels) return size;
  const grow = Math.sqrt(minPixels / (height * width));
  const side = (given: number): number => Math.ceil((given * grow) / factor) * factor;
  return { height: side(height), width: side(width) };
}

/** Python's `round`. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
