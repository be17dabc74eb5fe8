import type { WeightKernel } from './kernel/weight-kernel.js';
import { MatrixChunks, type Pause } from './matrix-chunks.js';
import { NotFiniteError } from './not-finite.js';
import { LARGEST_WEIGHT, type WeightBits } from './quantization.js';
import type { StoredMatrix } from './stored-matrix.js';

// Matrices as symmetric int8 numbers with one scale for each output: `weight = value * scale`. They
// are made piece by piece; each piece lies in the kernel's memory until the next is asked for.

/** Rows that the kernel turns at a time. */
const TILE = 64;
const BAND = 2 ** 28;

/**
 * A matrix whose rows are outputs, turned as matmuls need it: `[inputs, outputs]`. One that is
 * larger than a band is read once for each.
 *
 * @param scales one for each output; filled when the first piece is there
 * @param band bytes of the turned matrix that are in memory at a time
 * @throws NotFiniteError
 */
export async function* turnedPieces(
  kernel: WeightKernel,
  matrix: StoredMatrix,
  bits: WeightBits,
  scales: Float32Array,
  pause: Pause,
  band = BAND,
): AsyncGenerator<Uint8Array> {
  const { rows, columns } = matrix;
  const width = bandOf(matrix, band);
  kernel.reset();
  const chunks = new MatrixChunks(kernel, matrix, TILE);
  const largest = kernel.take(4 * chunks.most);
  const factors = kernel.take(8 * rows);
  const scratch = kernel.take(TILE * width + 512);
  const target = kernel.take(width * rows);
  for (let from = 0; from < columns; from += width) {
    const end = Math.min(from + width, columns);
    await chunks.each(pause, (first, count) => {
      const own = factors + 8 * first;
      if (from === 0) {
        kernel.exports.rowMaxima(chunks.floats, count, columns, largest);
        const part = scales.subarray(first, first + count);
        setScales(kernel.floats(largest, count), bits, part, kernel.doubles(own, count));
      }
      kernel.exports.roundTurned(
        chunks.floats,
        count,
        columns,
        from,
        end,
        own,
        scratch,
        target + first,
        rows,
      );
    });
    yield* kernel.pieces(target, (end - from) * rows);
  }
}

/** How often `turnedPieces` reads a matrix. */
export function turnedPasses(matrix: StoredMatrix): number {
  return Math.ceil(matrix.columns / bandOf(matrix, BAND));
}

/** Columns of a turned matrix that are in memory at a time. */
function bandOf({ rows, columns }: StoredMatrix, band: number): number {
  return Math.min(columns, Math.max(TILE, Math.floor(band / rows / TILE) * TILE));
}

/**
 * The same numbers as rows that are looked up: `[outputs, inputs]`.
 *
 * @param scales as `turnedPieces` has filled them
 */
export async function* rowPieces(
  kernel: WeightKernel,
  matrix: StoredMatrix,
  scales: Float32Array,
): AsyncGenerator<Uint8Array> {
  const { rows, columns } = matrix;
  kernel.reset();
  const chunks = new MatrixChunks(kernel, matrix);
  const factors = kernel.take(8 * chunks.most);
  const target = kernel.take(chunks.most * columns);
  for (let first = 0; first < rows; first += chunks.most) {
    const count = Math.min(chunks.most, rows - first);
    chunks.load(first, count);
    const own = scales.subarray(first, first + count);
    kernel.doubles(factors, count).set(Float64Array.from(own, factorOf));
    kernel.exports.roundByRow(chunks.floats, count, columns, 0, columns, factors, target);
    yield kernel.bytes(target, count * columns);
  }
}

/**
 * A matrix whose columns are outputs, as it lies. It is read twice: for its largest magnitudes, and
 * for its values.
 *
 * @param scales as of `turnedPieces`
 * @throws NotFiniteError
 */
export async function* columnPieces(
  kernel: WeightKernel,
  matrix: StoredMatrix,
  bits: WeightBits,
  scales: Float32Array,
  pause: Pause,
): AsyncGenerator<Uint8Array> {
  const { rows, columns } = matrix;
  kernel.reset();
  const chunks = new MatrixChunks(kernel, matrix);
  const largest = kernel.take(4 * columns);
  const factors = kernel.take(8 * columns);
  const target = kernel.take(chunks.most * columns);
  kernel.floats(largest, columns).fill(0);
  await chunks.each(pause, (_, count) => {
    kernel.exports.columnMaxima(chunks.floats, count, columns, largest);
  });
  setScales(kernel.floats(largest, columns), bits, scales, kernel.doubles(factors, columns));
  for (let first = 0; first < rows; first += chunks.most) {
    const count = Math.min(chunks.most, rows - first);
    chunks.load(first, count);
    kernel.exports.roundByColumn(chunks.floats, count, columns, factors, target);
    yield kernel.bytes(target, count * columns);
    await pause((matrix.bytes / rows) * count);
  }
}

/** Scales by largest magnitudes, and the factors from floats to whole numbers. */
function setScales(
  largest: Float32Array,
  bits: WeightBits,
  scales: Float32Array,
  factors: Float64Array,
): void {
  for (let i = 0; i < scales.length; i++) {
    if (!Number.isFinite(largest[i])) throw new NotFiniteError();
    scales[i] = largest[i] / LARGEST_WEIGHT[bits];
    factors[i] = factorOf(scales[i]);
  }
}

/** An output of zeros has scale 0 and value 0. */
function factorOf(scale: number): number {
  return scale === 0 ? 0 : 1 / scale;
}
