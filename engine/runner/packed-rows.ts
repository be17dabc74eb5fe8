/** Query, key and value of a layer, a row for each token. */
export type PackedParts = readonly [query: Float32Array, key: Float32Array, value: Float32Array];

/**
 * Takes queries, keys and values out of rows that have them side by side. One row is not copied:
 * its parts are views. For more, the parts lie in memory that the next call reuses.
 */
export class PackedRows {
  #memory = new Float32Array(0);

  /**
   * @param packed `[T, sum of widths]`
   * @returns `[T, width]` each, valid until the next call
   */
  split(packed: Float32Array, widths: readonly [number, number, number]): PackedParts {
    const total = widths[0] + widths[1] + widths[2];
    const numRows = packed.length / total;
    const isOne = numRows === 1;
    if (!isOne && this.#memory.length < packed.length) {
      this.#memory = new Float32Array(packed.length);
    }
    let from = 0;
    const part = (width: number): Float32Array => {
      const begin = from;
      from += width;
      if (isOne) return packed.subarray(begin, from);
      const rows = this.#memory.subarray(begin * numRows, from * numRows);
      for (let row = 0, at = begin; row < numRows; row++, at += total) {
        rows.set(packed.subarray(at, at + width), row * width);
      }
      return rows;
    };
    return [part(widths[0]), part(widths[1]), part(widths[2])];
  }
}
