import type { WeightKernel } from './kernel/weight-kernel.js';
import type { StoredMatrix } from './stored-matrix.js';

/** Floats that are decoded at a time: 1 MiB, which stays in a processor's cache. */
const CHUNK = 2 ** 18;

/** Called between chunks: reports progress, and lets other work of the thread happen. */
export type Pause = (bytesRead: number) => Promise<void>;

/** A matrix, some rows at a time as float32 in the kernel's memory. */
export class MatrixChunks {
  /** Where the rows are. */
  readonly floats: number;
  /** At most so many at a time. */
  readonly most: number;
  readonly #kernel: WeightKernel;
  readonly #matrix: StoredMatrix;
  readonly #raw: number;

  /** @param multiple all chunks but the last have a multiple of so many rows */
  constructor(kernel: WeightKernel, matrix: StoredMatrix, multiple = 1) {
    const { rows, columns } = matrix;
    const step = Math.max(1, Math.floor(CHUNK / columns / multiple)) * multiple;
    this.most = Math.min(step, rows);
    this.#kernel = kernel;
    this.#matrix = matrix;
    this.floats = kernel.take(4 * this.most * columns);
    this.#raw = matrix.halves ? kernel.take(2 * this.most * columns) : 0;
  }

  /** Calls `use` with each run of rows, in order. */
  async each(pause: Pause, use: (first: number, count: number) => void): Promise<void> {
    const { rows, bytes } = this.#matrix;
    for (let first = 0; first < rows; first += this.most) {
      const count = Math.min(this.most, rows - first);
      this.load(first, count);
      use(first, count);
      await pause((bytes / rows) * count);
    }
  }

  load(first: number, count: number): void {
    const { columns, halves } = this.#matrix;
    const numbers = count * columns;
    if (!halves) {
      this.#matrix.read(first, count, this.#kernel.floats(this.floats, numbers));
      return;
    }
    halves.read(first, count, this.#kernel.bytes(this.#raw, 2 * numbers));
    this.#kernel.exports.widenAll(this.#raw, halves.isBfloat, numbers, this.floats);
  }
}
