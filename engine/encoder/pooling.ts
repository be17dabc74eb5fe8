import type { PoolingMode } from '../protocol/encoding.js';

/**
 * Pools the rows of one text (Reimers and Gurevych 2019, Sentence-BERT; Muennighoff 2022, SGPT, for
 * `weightedmean`, by positions).
 *
 * @param rows `[length, width]`
 * @param modes at least one; their vectors are joined
 * @returns `[modes.length * width]`, memory of its own
 */
export function pool(
  rows: Float32Array,
  width: number,
  modes: readonly PoolingMode[],
): Float32Array {
  const vector = new Float32Array(modes.length * width);
  for (const [index, mode] of modes.entries()) {
    vector.set(pooled(rows, width, mode), index * width);
  }
  return vector;
}

function pooled(rows: Float32Array, width: number, mode: PoolingMode): ArrayLike<number> {
  const length = rows.length / width;
  switch (mode) {
    case 'cls':
      return rows.subarray(0, width);
    case 'lasttoken':
      return rows.subarray(rows.length - width);
    case 'max':
      return columnMaxima(rows, width);
    case 'mean':
      return weighted(rows, width, () => 1 / length);
    case 'mean_sqrt_len_tokens':
      return weighted(rows, width, () => 1 / Math.sqrt(length));
    case 'weightedmean': {
      const sum = (length * (length + 1)) / 2;
      return weighted(rows, width, (row) => (row + 1) / sum);
    }
  }
}

/** In double precision: a mean of thousands of rows would lose digits. */
function weighted(
  rows: Float32Array,
  width: number,
  weightOf: (row: number) => number,
): Float64Array {
  const sums = new Float64Array(width);
  for (let start = 0, row = 0; start < rows.length; start += width, row++) {
    const weight = weightOf(row);
    for (let i = 0; i < width; i++) sums[i] += weight * rows[start + i];
  }
  return sums;
}

function columnMaxima(rows: Float32Array, width: number): Float32Array {
  const maxima = rows.slice(0, width);
  for (let start = width; start < rows.length; start += width) {
    for (let i = 0; i < width; i++) maxima[i] = Math.max(maxima[i], rows[start + i]);
  }
  return maxima;
}
