import type { PackedMatrix } from '../../checkpoint/packed/packed-matrix.js';
import type { WeightKernel } from './kernel/weight-kernel.js';
import { MatrixChunks } from './matrix-chunks.js';
import { NotFiniteError } from './not-finite.js';
import type { StoredMatrix } from './stored-matrix.js';

/**
 * Numbers that are tried as the one that the largest weight of a group of 4 bits is rounded to.
 * Beyond -8, it is cut, and the others are rounded finer.
 */
export const TRIED = Float32Array.of(-6.5, -7, -7.4, -7.7, -8, -8.3, -8.6, -9);

/**
 * The largest group of a weight's inputs that kernels have and that pays: weights of 4 bits are too
 * rough for more than 32, and of 8 bits larger groups are quicker.
 *
 * @returns null when the inputs cannot be divided
 */
export function groupFor(bits: 4 | 8, inputs: number): number | null {
  const sizes = bits === 4 ? [32, 16] : [128, 64, 32, 16];
  return sizes.find((size) => inputs % size === 0) ?? null;
}

/** What a matrix of floats becomes, by whatever rule its whole numbers are chosen. */
export function formOf(
  { rows, columns, bytes }: StoredMatrix,
  bits: 4 | 8,
  group: number,
): Omit<PackedMatrix, 'read'> {
  return { rows, columns, bits, group, origin: 'middle', order: null, rowBytes: bytes / rows };
}

/**
 * A matrix of floats `[outputs, inputs]`, rounded to whole numbers by groups as it is read: in 8
 * bits by the largest weight of a group, in 4 by the least squared error of several roundings.
 */
export function roundedMatrix(
  kernel: WeightKernel,
  matrix: StoredMatrix,
  bits: 4 | 8,
  group: number,
): PackedMatrix {
  const { columns } = matrix;
  return {
    ...formOf(matrix, bits, group),
    read: (first, count, into) => {
      kernel.reset();
      const chunks = new MatrixChunks(kernel, matrix);
      const tried = kernel.take(TRIED.byteLength);
      const values = kernel.take(chunks.most * columns);
      const scales = kernel.take((4 * chunks.most * columns) / group);
      kernel.floats(tried, TRIED.length).set(TRIED);
      const { exports } = kernel;
      for (let done = 0; done < count; done += chunks.most) {
        const height = Math.min(chunks.most, count - done);
        const groups = (height * columns) / group;
        chunks.load(first + done, height);
        const largest =
          bits === 4
            ? exports.roundGroups4(
                chunks.floats,
                groups,
                group,
                tried,
                TRIED.length,
                values,
                scales,
              )
            : exports.roundGroups8(chunks.floats, groups, group, values, scales);
        if (!Number.isFinite(largest)) throw new NotFiniteError();
        into.values.set(kernel.bytes(values, height * columns), done * columns);
        into.scales.set(kernel.floats(scales, groups), (done * columns) / group);
      }
    },
  };
}
