import type { RoundingMemory } from './rounding-memory.js';

// GPTQ (Frantar et al. 2022, "GPTQ: Accurate post-training quantization for generative pre-trained
// transformers"): columns of a weight are rounded one after the other, and the columns that follow
// make up for the error of each, as far as the inputs of calibration texts allow it.

/** Gives the scale of a group by its weights as they are when its turn comes. */
export type ScaleOf = (weights: Float32Array) => number;

/** Whole numbers around 0, and a scale for each group. */
export interface RoundedRows {
  /** `[rows, width]` */
  readonly values: Int8Array;
  /** `[rows, width / group]` */
  readonly scales: Float32Array;
}

/**
 * Rounds the first `count` rows in a memory.
 *
 * @param form its group is that of the memory, a multiple of 4
 */
export function roundByMoments(
  memory: RoundingMemory,
  count: number,
  width: number,
  { bits, group }: { readonly bits: 4 | 8; readonly group: number },
  scaleOf: ScaleOf,
): RoundedRows {
  const { rows, errors, blocks } = memory;
  const values = new Int8Array(count * width);
  const scales = new Float32Array(values.length / group);
  const [least, most] = bits === 4 ? [-8, 7] : [-127, 127];
  for (const [index, { start, size, factor }] of blocks.entries()) {
    // All rows of a group before the next one: they read the same rows of the factor.
    for (let g = 0; g < size; g += group) {
      for (let row = 0; row < count; row++) {
        const at = row * width + start + g;
        const scale = Math.fround(scaleOf(rows.subarray(at, at + group)));
        scales[at / group] = scale;
        for (let i = 0; i < group; i++) {
          const own = (g + i) * size + g;
          const x = rows[at + i];
          const q = scale === 0 ? 0 : Math.min(most, Math.max(least, Math.round(x / scale)));
          values[at + i] = q;
          const error = (x - q * scale) / factor[own + i];
          errors[row * group + i] = error;
          for (let j = i + 1; j < group; j++) rows[at + j] -= error * factor[own + j];
        }
      }
      memory.spread(index, g, count);
    }
  }
  return { values, scales };
}
