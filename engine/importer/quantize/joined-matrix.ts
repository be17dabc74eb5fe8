import type { DenseMatrix, Halves, StoredMatrix } from './stored-matrix.js';

/** Matrices of one width, the rows of each behind those of the one before. */
export class JoinedMatrix implements StoredMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
  readonly halves?: Halves;
  readonly #parts: readonly DenseMatrix[];

  /** @param parts at least one */
  constructor(parts: readonly DenseMatrix[]) {
    this.#parts = parts;
    this.columns = parts[0].columns;
    this.rows = parts.reduce((sum, { rows }) => sum + rows, 0);
    this.bytes = parts.reduce((sum, { bytes }) => sum + bytes, 0);
    const isBfloat = parts[0].halves?.isBfloat;
    if (isBfloat === undefined || parts.some(({ halves }) => halves?.isBfloat !== isBfloat)) return;
    this.halves = {
      isBfloat,
      read: (first, count, into) => {
        for (const { part, from, rows, at } of this.#pieces(first, count)) {
          const bytes = 2 * this.columns;
          part.halves?.read(from, rows, into.subarray(at * bytes, (at + rows) * bytes));
        }
      },
    };
  }

  read(first: number, count: number, into: Float32Array): void {
    for (const { part, from, rows, at } of this.#pieces(first, count)) {
      part.read(from, rows, into.subarray(at * this.columns, (at + rows) * this.columns));
    }
  }

  /** Rows `from` to `from + rows - 1` of each part, and their place `at` among those asked for. */
  *#pieces(
    first: number,
    count: number,
  ): Generator<{
    readonly part: DenseMatrix;
    readonly from: number;
    readonly rows: number;
    readonly at: number;
  }> {
    let start = 0;
    for (const part of this.#parts) {
      const from = Math.max(first, start);
      const end = Math.min(first + count, start + part.rows);
      if (from < end) yield { part, from: from - start, rows: end - from, at: from - first };
      start += part.rows;
    }
  }
}
