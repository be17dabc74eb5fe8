import { freeBuffers } from '../../free-buffers.js';
import { inputBlocks } from './calibration.js';
import { type FactoredBlock, inverseFactor, SCRATCH_BYTES } from './gptq-factor.js';
import { WeightKernel } from './kernel/weight-kernel.js';

/**
 * What weights are rounded in, in the kernel's memory: the factors of one activation, and some rows
 * of a weight that multiplies it.
 */
export class RoundingMemory {
  readonly #kernel = new WeightKernel();
  #at = { rows: 0, errors: 0, factors: [0] };
  #sizes = { rows: 0, width: 0, group: 0 };
  blocks: readonly FactoredBlock[] = [];

  /**
   * Takes the factors of another activation. A block is factored in float64 and then kept in
   * float32, from the same place on: until then it covers those behind it, which come later, and
   * only the last one needs memory beyond what is kept.
   *
   * @param moments see `MomentSource`; given up
   * @param rows that are rounded together, at most
   * @returns false when a number is not finite
   */
  load(width: number, moments: readonly Float32Array[], rows: number, group: number): boolean {
    const kernel = this.#kernel;
    kernel.reset();
    const blocks = inputBlocks(width);
    this.#sizes = { rows, width, group };
    const scratch = kernel.take(SCRATCH_BYTES);
    this.#at = {
      rows: kernel.take(4 * rows * width),
      errors: kernel.take(4 * rows * group),
      factors: blocks.map(({ size }) => kernel.take(4 * size * size)),
    };
    kernel.take(4 * Math.max(...blocks.map(({ size }) => size * size)));
    this.blocks = blocks.map(({ start, size }, i) => {
      const at = this.#at.factors[i];
      kernel.doubles(at, size * size).set(moments[i]);
      free(moments[i]);
      inverseFactor(kernel, at, size, scratch);
      const factor = kernel.floats(at, size * size);
      narrow(kernel.doubles(at, size * size), factor);
      return { start, size, factor };
    });
    return this.blocks.every(({ factor }) => factor.every(Number.isFinite));
  }

  /** `[rows, width]`: weights, which rounding overwrites. */
  get rows(): Float32Array {
    return this.#kernel.floats(this.#at.rows, this.#sizes.rows * this.#sizes.width);
  }

  /** `[rows, group]`: what rounding a group has lost, by the factor's diagonal. */
  get errors(): Float32Array {
    return this.#kernel.floats(this.#at.errors, this.#sizes.rows * this.#sizes.group);
  }

  /**
   * Lets the inputs behind a group make up for its errors.
   *
   * @param block its number
   * @param first of the group, in the block
   * @param count of rows
   */
  spread(block: number, first: number, count: number): void {
    const { width, group } = this.#sizes;
    const { start, size } = this.blocks[block];
    const behind = first + group;
    if (behind >= size) return;
    this.#kernel.exports.spreadErrors(
      this.#at.errors,
      count,
      group,
      this.#at.factors[block] + 4 * (first * size + behind),
      4 * size,
      this.#at.rows + 4 * (start + behind),
      4 * width,
      size - behind,
    );
  }
}

/** Numbers that begin at the same byte: each is read before its place is written. */
function narrow(doubles: Float64Array, floats: Float32Array): void {
  for (let i = 0; i < doubles.length; i++) floats[i] = doubles[i];
}

/** At once, and not when the garbage collector comes. */
function free({ buffer }: Float32Array): void {
  if (buffer instanceof ArrayBuffer) freeBuffers([buffer]);
}
