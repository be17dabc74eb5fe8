import { OctavoError } from '../../errors.js';
import { LARGEST_WEIGHT, type WeightBits } from './quantization.js';
import type { StoredMatrix } from './stored-matrix.js';

/**
 * Symmetric int8 numbers with one scale for each output channel: `weight = value * scale[channel]`.
 */
export interface QuantizedMatrix {
  readonly values: Int8Array;
  readonly scales: Float32Array;
}

/** Floats that are decoded at a time: 16 MiB. */
const CHUNK = 4 * 2 ** 20;
/** Rows that are transposed at a time, so that their elements of a column fill a cache line. */
const TILE = 64;
/**
 * Adding and subtracting it rounds a float64 of small magnitude to the nearest integer, ties to
 * even, as ONNX Runtime does.
 */
const ROUND = 1.5 * 2 ** 52;

/** Called between chunks: reports progress, and lets other work of the thread happen. */
export type Pause = (bytesRead: number) => Promise<void>;

/**
 * Quantizes a matrix whose rows are inputs and whose columns are output channels; so is the result.
 * Reads the matrix twice.
 */
export async function quantizeColumns(
  matrix: StoredMatrix,
  bits: WeightBits,
  pause: Pause,
): Promise<QuantizedMatrix> {
  const { columns } = matrix;
  const largest = new Float32Array(columns);
  await eachChunk(matrix, 1, pause, (chunk, _first, count) => {
    let sum = 0;
    for (let r = 0, i = 0; r < count; r++) {
      for (let c = 0; c < columns; c++, i++) {
        const x = Math.abs(chunk[i]);
        sum += x;
        if (x > largest[c]) largest[c] = x;
      }
    }
    refuseUnlessFinite(sum);
  });
  const scales = scalesOf(largest, bits);
  const inverse = inversesOf(scales);
  const values = new Int8Array(matrix.rows * columns);
  await eachChunk(matrix, 1, pause, (chunk, first, count) => {
    const start = first * columns;
    for (let r = 0, i = 0; r < count; r++) {
      for (let c = 0; c < columns; c++, i++) {
        values[start + i] = chunk[i] * inverse[c] + ROUND - ROUND;
      }
    }
  });
  return { values, scales };
}

/**
 * Quantizes a matrix whose rows are output channels.
 *
 * @param turned whether the result is transposed, so that its columns are the output channels, as
 *   matmuls need them
 */
export async function quantizeRows(
  matrix: StoredMatrix,
  bits: WeightBits,
  turned: boolean,
  pause: Pause,
): Promise<QuantizedMatrix> {
  const { rows, columns } = matrix;
  const scales = new Float32Array(rows);
  const values = new Int8Array(rows * columns);
  const [rowStep, columnStep] = turned ? [1, rows] : [columns, 1];
  await eachChunk(matrix, TILE, pause, (chunk, first, count) => {
    const largest = new Float32Array(count);
    let sum = 0;
    for (let r = 0, i = 0; r < count; r++) {
      let most = 0;
      for (let c = 0; c < columns; c++, i++) {
        const x = Math.abs(chunk[i]);
        sum += x;
        if (x > most) most = x;
      }
      largest[r] = most;
    }
    refuseUnlessFinite(sum);
    const own = scalesOf(largest, bits);
    scales.set(own, first);
    const inverse = inversesOf(own);
    for (let tile = 0; tile < count; tile += TILE) {
      const end = Math.min(tile + TILE, count);
      for (let c = 0; c < columns; c++) {
        for (let r = tile; r < end; r++) {
          const value = chunk[r * columns + c] * inverse[r] + ROUND - ROUND;
          values[(first + r) * rowStep + c * columnStep] = value;
        }
      }
    }
  });
  return { values, scales };
}

/**
 * A sum of magnitudes is not finite when any of its numbers is not; int8 cannot represent those.
 */
function refuseUnlessFinite(sum: number): void {
  if (!Number.isFinite(sum)) throw new NotFiniteError();
}

/** A weight is NaN or infinite. */
export class NotFiniteError extends Error {}

/**
 * Quantizes the weight of a node.
 *
 * @throws OctavoError `model_file_corrupt` when it is not finite
 */
export async function guard<T>(
  { file }: { readonly file: string },
  node: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NotFiniteError)) throw error;
    throw new OctavoError(
      'model_file_corrupt',
      `${file}: the weight of node ${node} holds a number that is infinite or NaN; whole numbers cannot hold it`,
    );
  }
}

function scalesOf(largest: Float32Array, bits: WeightBits): Float32Array {
  return largest.map((x) => x / LARGEST_WEIGHT[bits]);
}

/** A channel of zeros has scale 0 and value 0. */
function inversesOf(scales: Float32Array): Float64Array {
  return Float64Array.from(scales, (scale) => (scale === 0 ? 0 : 1 / scale));
}

async function eachChunk(
  matrix: StoredMatrix,
  multiple: number,
  pause: Pause,
  use: (chunk: Float32Array, first: number, count: number) => void,
): Promise<void> {
  const { rows, columns } = matrix;
  const step = Math.max(multiple, Math.floor(CHUNK / columns / multiple) * multiple);
  const chunk = new Float32Array(Math.min(step, rows) * columns);
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    matrix.read(first, count, chunk);
    use(chunk, first, count);
    await pause((matrix.bytes / rows) * count);
  }
}
