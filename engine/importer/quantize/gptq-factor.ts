import type { InputBlock } from './calibration.js';
import type { WeightKernel } from './kernel/weight-kernel.js';

// How much each input can make up for the rounding errors of those before it (gptq.ts): the upper
// triangle U with U^T U the inverse of the inputs' damped moments H.
//
// H = V V^T with V an upper triangle (Cholesky's way from the last column on), and U is the inverse
// of V. Both go tile by tile, so that nearly all products are those of rows with rows, which the
// kernel adds up in the processor's cache:
//
//     V[I, J] = (H[I, J] - sum over K > J of V[I, K] V[J, K]^T) U[J, J]^T    J from the last on
//     U[I, J] = -(sum over I <= K < J of U[I, K] V[K, J]) U[J, J]            J from the first on
//
// For the second line, whose columns are rows there, V's transpose lies below the diagonal.

/** Share of the mean diagonal that is added to it: texts show few of all directions. */
const DAMPING = 0.01;

/** Rows and columns of a tile, at most. */
const TILE = 64;

/** Bytes of a number. */
const BYTES = 8;

/** The upper triangle U, `[size, size]`, with U^T U the inverse of a block's damped moments. */
export interface FactoredBlock extends InputBlock {
  readonly factor: Float32Array;
}

/** Bytes that a factorization needs beside the matrix. */
export const SCRATCH_BYTES = 2 * BYTES * TILE * TILE;

/**
 * Factors the inverse of sums of x x^T, in float64, in the kernel's memory.
 *
 * @param at where the moments are, `[size, size]`; overwritten by U in the upper triangle, and
 *   anything below. Inputs that were always 0 get 1: they are rounded like any other, and nothing
 *   makes up for them
 * @param scratch where `SCRATCH_BYTES` are
 * @param size a multiple of 4
 */
export function inverseFactor(
  kernel: WeightKernel,
  at: number,
  size: number,
  scratch: number,
): void {
  const matrix = new TiledMatrix(kernel, at, size, scratch);
  const { numbers } = matrix;
  let mean = 0;
  for (let i = 0; i < numbers.length; i += size + 1) mean += numbers[i] / size;
  for (let i = 0; i < numbers.length; i += size + 1) {
    if (numbers[i] === 0) numbers[i] = 1;
    numbers[i] += DAMPING * mean;
  }
  const tiles = Array.from({ length: Math.ceil(size / TILE) }, (_, i) => i * TILE);
  for (const tile of tiles.toReversed()) matrix.factorColumns(tile);
  for (const tile of tiles) matrix.invertColumns(tile);
}

class TiledMatrix {
  readonly numbers: Float64Array;
  readonly #exports: WeightKernel['exports'];
  readonly #at: number;
  readonly #size: number;
  /** A tile of U on the diagonal, times -1, and the tile that is multiplied with it. */
  readonly #diagonalAt: number;
  readonly #productAt: number;
  readonly #diagonal: Float64Array;
  readonly #product: Float64Array;

  constructor(kernel: WeightKernel, at: number, size: number, scratch: number) {
    this.numbers = kernel.doubles(at, size * size);
    this.#exports = kernel.exports;
    this.#at = at;
    this.#size = size;
    this.#diagonalAt = scratch;
    this.#productAt = scratch + SCRATCH_BYTES / 2;
    this.#diagonal = kernel.doubles(this.#diagonalAt, TILE * TILE);
    this.#product = kernel.doubles(this.#productAt, TILE * TILE);
  }

  /** Columns of V, those behind them being there, but for the tile on the diagonal: that of U. */
  factorColumns(first: number): void {
    const { numbers } = this;
    const size = this.#size;
    const end = Math.min(first + TILE, size);
    const stride = BYTES * size;
    this.#exports.subtractProducts(
      this.#place(0, end),
      stride,
      this.#place(first, end),
      stride,
      size - end,
      this.#place(0, first),
      stride,
      end,
      end - first,
    );
    this.#factorDiagonal(first, end);
    this.#invertDiagonal(first, end);
    this.#copyDiagonal(first, end, (row, column) => row * TILE + column);
    for (let row = 0; row < first; row += TILE) {
      for (let i = row; i < row + TILE; i++) {
        const own = numbers.subarray(i * size + first, i * size + end);
        this.#product.set(own, (i - row) * TILE);
      }
      this.#multiply(row, first, end);
      for (let j = first; j < end; j++) {
        for (let i = row; i < row + TILE; i++) numbers[j * size + i] = numbers[i * size + j];
      }
    }
  }

  /** Columns of U, those before them being there. */
  invertColumns(first: number): void {
    const end = Math.min(first + TILE, this.#size);
    const stride = BYTES * this.#size;
    this.#copyDiagonal(first, end, (row, column) => column * TILE + row);
    for (let row = 0; row < first; row += TILE) {
      this.#product.fill(0);
      this.#exports.subtractProducts(
        this.#place(row, row),
        stride,
        this.#place(first, row),
        stride,
        first - row,
        this.#productAt,
        BYTES * TILE,
        TILE,
        end - first,
      );
      this.#multiply(row, first, end);
    }
  }

  #place(row: number, column: number): number {
    return this.#at + BYTES * (row * this.#size + column);
  }

  /** V's tile on the diagonal, of what is left of H there. */
  #factorDiagonal(first: number, end: number): void {
    const { numbers } = this;
    const size = this.#size;
    for (let j = end - 1; j >= first; j--) {
      for (let i = j; i >= first; i--) {
        let sum = numbers[i * size + j];
        for (let k = j + 1; k < end; k++) sum -= numbers[i * size + k] * numbers[j * size + k];
        numbers[i * size + j] = i === j ? Math.sqrt(sum) : sum / numbers[j * size + j];
      }
    }
  }

  /** U's tile in the place of V's, with zeros below the diagonal. */
  #invertDiagonal(first: number, end: number): void {
    const { numbers } = this;
    const size = this.#size;
    for (let j = first; j < end; j++) {
      const inverse = 1 / numbers[j * size + j];
      for (let i = first; i < j; i++) {
        let sum = 0;
        for (let k = i; k < j; k++) sum -= numbers[i * size + k] * numbers[k * size + j];
        numbers[i * size + j] = sum * inverse;
      }
      numbers[j * size + j] = inverse;
      numbers.fill(0, j * size + first, j * size + j);
    }
  }

  #copyDiagonal(first: number, end: number, to: (row: number, column: number) => number): void {
    for (let row = first; row < end; row++) {
      for (let column = first; column < end; column++) {
        const number = this.numbers[row * this.#size + column];
        this.#diagonal[to(row - first, column - first)] = -number;
      }
    }
  }

  /** Replaces a tile by the product of the two in the scratch memory. */
  #multiply(row: number, first: number, end: number): void {
    const size = this.#size;
    for (let i = row; i < row + TILE; i++) this.numbers.fill(0, i * size + first, i * size + end);
    this.#exports.subtractProducts(
      this.#productAt,
      BYTES * TILE,
      this.#diagonalAt,
      BYTES * TILE,
      end - first,
      this.#place(row, first),
      BYTES * size,
      TILE,
      end - first,
    );
  }
}
