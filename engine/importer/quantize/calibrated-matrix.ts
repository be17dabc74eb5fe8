import type { PackedMatrix } from '../../checkpoint/packed/packed-matrix.js';
import { OctavoError } from '../../errors.js';
import type { MomentSource } from './calibration.js';
import { roundByMoments, type ScaleOf } from './gptq.js';
import type { WeightKernel } from './kernel/weight-kernel.js';
import { NotFiniteError } from './not-finite.js';
import { formOf, TRIED } from './round-blocks.js';
import { RoundingMemory } from './rounding-memory.js';
import type { StoredMatrix } from './stored-matrix.js';

/** Rows that are rounded together, at most: they stay in a processor's cache. */
const ROWS = 32;

/** Rounds matrices of floats by the moments of their inputs. */
export class CalibratedRounding {
  readonly #kernel: WeightKernel;
  readonly #source: MomentSource;
  readonly #memory = new RoundingMemory();
  /** Whose factors are in memory: queries, keys and values read the same. */
  #activation: string | null = null;

  constructor(kernel: WeightKernel, source: MomentSource) {
    this.#kernel = kernel;
    this.#source = source;
  }

  /** A matrix `[outputs, inputs]` that is rounded as it is read; nothing is computed before. */
  matrix(matrix: StoredMatrix, bits: 4 | 8, group: number, activation: string): PackedMatrix {
    const { columns } = matrix;
    return {
      ...formOf(matrix, bits, group),
      prepare: () => this.#load(activation, columns, group),
      read: (first, count, into) => {
        const scaleOf = groupScales(this.#kernel, bits, group);
        const floats = this.#memory.rows;
        for (let done = 0; done < count; done += ROWS) {
          const height = Math.min(ROWS, count - done);
          matrix.read(first + done, height, floats);
          const form = { bits, group };
          const { values, scales } = roundByMoments(this.#memory, height, columns, form, scaleOf);
          const middle = 2 ** (bits - 1);
          const at = done * columns;
          for (let i = 0; i < values.length; i++) into.values[at + i] = values[i] + middle;
          into.scales.set(scales, at / group);
        }
      },
    };
  }

  async #load(activation: string, width: number, group: number): Promise<void> {
    if (this.#activation === activation) return;
    this.#activation = null;
    if (!this.#memory.load(width, await this.#source.momentsOf(activation), ROWS, group)) {
      throw new OctavoError(
        'model_unsupported',
        `--calibrate: the model computes numbers that are infinite or NaN (${activation})`,
        { param: '--calibrate' },
      );
    }
    this.#activation = activation;
  }
}

/** The scales that rounding without calibration chooses for the same weights. */
function groupScales(kernel: WeightKernel, bits: 4 | 8, group: number): ScaleOf {
  kernel.reset();
  const [at, values, scale] = [4 * group, group, 4].map((bytes) => kernel.take(bytes));
  const tried = kernel.take(TRIED.byteLength);
  kernel.floats(tried, TRIED.length).set(TRIED);
  const weights = kernel.floats(at, group);
  const answer = kernel.floats(scale, 1);
  const { exports } = kernel;
  return (numbers) => {
    weights.set(numbers);
    const largest =
      bits === 4
        ? exports.roundGroups4(at, 1, group, tried, TRIED.length, values, scale)
        : exports.roundGroups8(at, 1, group, values, scale);
    if (!Number.isFinite(largest)) throw new NotFiniteError();
    return answer[0];
  };
}
