import { middleOf, type PackedFormat, type Unpacked, unpackBlocks } from './packed-format.js';

/**
 * A packed weight `[outputs, inputs]` that is read row by row as whole numbers with a scale, and
 * for some a zero point or a least value, for each group of inputs.
 */
export interface PackedMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  /** Neighboring columns that share a scale: a power of 2, 16 at least. */
  readonly group: number;
  /** What stands for 0: the middle of the numbers' range, a whole number, or a least value. */
  readonly origin: 'middle' | 'zero-points' | 'least';
  /** The inputs in the order of the columns; null: they have the same. */
  readonly order: Int32Array | null;
  /** Bytes of a row in the checkpoint. */
  readonly rowBytes: number;
  /** Called once before the first read, where a matrix needs more than its bytes. */
  readonly prepare?: () => Promise<void>;
  /** Reads rows `first` to `first + count - 1`, for at most so many as the memory is for. */
  readonly read: (first: number, count: number, into: Unpacked) => void;
}

/** Reads bytes of a stored weight. */
export type ReadBytes = (offset: number, into: Uint8Array) => void;

/** A weight whose rows are blocks of one of ggml's formats. */
export function blockedMatrix(
  format: PackedFormat,
  rows: number,
  columns: number,
  readBytes: ReadBytes,
): PackedMatrix {
  const rowBytes = (columns / format.blockSize) * format.blockBytes;
  return {
    rows,
    columns,
    bits: format.bits,
    group: format.group,
    origin: format.hasLeast ? 'least' : 'middle',
    order: null,
    rowBytes,
    read: (first, count, into) => {
      const raw = new Uint8Array(count * rowBytes);
      readBytes(first * rowBytes, raw);
      unpackBlocks(format, raw, into);
    },
  };
}

/** @returns memory for so many rows, to be used again and again */
export function memoryOf({ columns, group }: PackedMatrix, rows: number): Unpacked {
  const groups = (rows * columns) / group;
  return {
    values: new Uint8Array(rows * columns),
    scales: new Float32Array(groups),
    least: new Float32Array(groups),
    zeroPoints: new Uint8Array(groups),
  };
}

/** What value 0 of each group means, from its zero point or from the middle of the range. */
export function setLeast(matrix: PackedMatrix, { scales, zeroPoints, least }: Unpacked): void {
  const middle = middleOf(matrix);
  const hasPoints = matrix.origin === 'zero-points';
  for (let i = 0; i < scales.length; i++) {
    least[i] = -scales[i] * (hasPoints ? zeroPoints[i] : middle);
  }
}
