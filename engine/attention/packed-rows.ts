import type { AttentionShape } from './paged-attention.js';

/** Query, key and value of a layer, a row for each token. */
export type PackedParts = readonly [query: Float32Array, key: Float32Array, value: Float32Array];

/** Floats of a token's query, key and value. */
export function partWidths({
  numHeads,
  numKvHeads,
  headSize,
}: Pick<AttentionShape, 'numHeads' | 'numKvHeads' | 'headSize'>): readonly [
  query: number,
  key: number,
  value: number,
] {
  const stored = numKvHeads * headSize;
  return [numHeads * headSize, stored, stored];
}

/**
 * Copies queries, keys and values out of rows that have them side by side.
 *
 * @param packed `[T, sum of widths]`
 * @returns `[T, width]` each
 */
export function splitRows(
  packed: Float32Array,
  widths: readonly [query: number, key: number, value: number],
): PackedParts {
  const total = widths[0] + widths[1] + widths[2];
  const numRows = packed.length / total;
  const part = (width: number, begin: number): Float32Array => {
    const rows = new Float32Array(numRows * width);
    for (let row = 0, at = begin; row < numRows; row++, at += total) {
      rows.set(packed.subarray(at, at + width), row * width);
    }
    return rows;
  };
  return [part(widths[0], 0), part(widths[1], widths[0]), part(widths[2], widths[0] + widths[1])];
}
