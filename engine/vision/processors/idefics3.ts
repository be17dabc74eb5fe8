import { crop, normalizationTables, type Pixels, writePlanes } from '../pixels.js';
import { FILTERS, resize } from '../resample.js';
import { type Process, type Processing, WHOLE } from './processor.js';

export interface Idefics3Settings extends Processing {
  readonly kind: 'idefics3';
  /** Longest edge of the whole picture. */
  readonly longestEdge: number;
  /** Edge of the squares that it is cut into. */
  readonly tileEdge: number;
  readonly splits: boolean;
}

const MAX_EDGE = 4096;

/**
 * Idefics 3's and SmolVLM's: the picture is cut into squares, and the whole of it becomes one
 * more.
 */
export const processIdefics3: Process<Idefics3Settings> = (pixels, settings) => {
  const { longestEdge, tileEdge, splits } = settings;
  const filter = FILTERS[settings.resample];
  const { width, height } = scaled(pixels, longestEdge);
  const large = resize(pixels, width, height, filter);
  let squares: Pixels[];
  let tiles = WHOLE;
  if (!splits) squares = [resize(large, tileEdge, tileEdge, filter)];
  else {
    const whole = inSquares(large, tileEdge);
    const fitted = resize(large, whole.width, whole.height, filter);
    const isCut = fitted.height > tileEdge || fitted.width > tileEdge;
    if (isCut) tiles = { height: fitted.height / tileEdge, width: fitted.width / tileEdge };
    squares = Array.from({ length: tiles.height * tiles.width }, (_, i) =>
      crop(fitted, (i % tiles.width) * tileEdge, Math.floor(i / tiles.width) * tileEdge, tileEdge),
    );
    squares.push(isCut ? resize(fitted, tileEdge, tileEdge, filter) : fitted);
  }
  const area = 3 * tileEdge * tileEdge;
  const pixelValues = new Float32Array(squares.length * area);
  const tables = normalizationTables(settings);
  for (const [i, square] of squares.entries()) {
    writePlanes(square, tables, pixelValues.subarray(i * area, (i + 1) * area));
  }
  const dims = [1, squares.length, 3, tileEdge, tileEdge];
  return { pixelValues, dims, grid: null, layout: { tiles, tokens: null } };
};

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The longer edge gets its length, the other one is even. */
function scaled({ width, height }: Size, edge: number): Size {
  const ratio = width / height;
  const even = (side: number): number => side + (side % 2);
  const size =
    width >= height
      ? { width: edge, height: Math.max(1, even(Math.trunc(edge / ratio))) }
      : { width: Math.max(1, even(Math.trunc(edge * ratio))), height: edge };
  return bounded(size);
}

function bounded({ width, height }: Size): Size {
  const ratio = width / height;
  if (width >= height && width > MAX_EDGE) {
    return { width: MAX_EDGE, height: Math.max(1, Math.trunc(MAX_EDGE / ratio)) };
  }
  if (height > width && height > MAX_EDGE) {
    return { width: Math.max(1, Math.trunc(MAX_EDGE * ratio)), height: MAX_EDGE };
  }
  return { width, height };
}

/** The next size of whole squares. */
function inSquares({ width, height }: Size, edge: number): Size {
  const ratio = width / height;
  const up = (side: number): number => Math.ceil(side / edge) * edge;
  if (width >= height) {
    const wide = up(width);
    return { width: wide, height: up(Math.trunc(wide / ratio)) };
  }
  const high = up(height);
  return { width: up(Math.trunc(high * ratio)), height: high };
}
