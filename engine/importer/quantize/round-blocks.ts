import { middleOf, type Unpacked } from '../../checkpoint/packed/packed-format.js';
import type { PackedMatrix } from '../../checkpoint/packed/packed-matrix.js';
import { NotFiniteError } from './quantize-matrix.js';
import type { StoredMatrix } from './stored-matrix.js';

/** Adding and subtracting it rounds a float64 of small magnitude to the nearest integer. */
const ROUND = 1.5 * 2 ** 52;
/**
 * Magnitudes that are tried as the one that the largest weight of a block is rounded to. Above 8,
 * it is cut, and the others are rounded finer.
 */
const TRIED = [-6.5, -7, -7.4, -7.7, -8, -8.3, -8.6, -9];

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

/** A matrix of floats `[outputs, inputs]`, rounded to whole numbers by groups as it is read. */
export function roundedMatrix(matrix: StoredMatrix, bits: 4 | 8, group: number): PackedMatrix {
  const { rows, columns, bytes } = matrix;
  const round = bits === 4 ? round4 : round8;
  let floats = new Float32Array(0);
  return {
    rows,
    columns,
    bits,
    group,
    origin: 'middle',
    order: null,
    rowBytes: bytes / rows,
    read: (first, count, into) => {
      if (floats.length < count * columns) floats = new Float32Array(count * columns);
      matrix.read(first, count, floats);
      const groups = (count * columns) / group;
      for (let g = 0; g < groups; g++) round(floats, g * group, group, into, g);
    },
  };
}

type Round = (x: Float32Array, start: number, size: number, into: Unpacked, index: number) => void;

const round8: Round = (x, start, size, { values, scales }, index) => {
  const end = start + size;
  let largest = 0;
  let sum = 0;
  for (let i = start; i < end; i++) {
    const magnitude = Math.abs(x[i]);
    sum += magnitude;
    if (magnitude > largest) largest = magnitude;
  }
  if (!Number.isFinite(sum)) throw new NotFiniteError();
  const scale = Math.fround(largest / 127);
  const inverse = scale === 0 ? 0 : 1 / scale;
  scales[index] = scale;
  const middle = middleOf({ bits: 8 });
  for (let i = start; i < end; i++) values[i] = x[i] * inverse + ROUND - ROUND + middle;
};

/**
 * Tries several roundings of a block, and keeps the one that is nearest with its best scale: for
 * whole numbers q, the squared error is least at s = xq / qq, and is then xx - (xq)^2 / qq.
 */
const round4: Round = (x, start, size, { values, scales }, index) => {
  const end = start + size;
  let extreme = 0;
  let sum = 0;
  for (let i = start; i < end; i++) {
    const magnitude = Math.abs(x[i]);
    sum += magnitude;
    if (magnitude > Math.abs(extreme)) extreme = x[i];
  }
  if (!Number.isFinite(sum)) throw new NotFiniteError();
  if (extreme === 0) {
    scales[index] = 0;
    values.fill(8, start, end);
    return;
  }
  let best = -1;
  let inverse = 0;
  let scale = 0;
  for (const target of TRIED) {
    const tried = target / extreme;
    let xq = 0;
    let qq = 0;
    for (let i = start; i < end; i++) {
      let q = x[i] * tried + ROUND - ROUND;
      q = q < -8 ? -8 : q > 7 ? 7 : q;
      xq += x[i] * q;
      qq += q * q;
    }
    const gain = (xq * xq) / qq;
    if (gain <= best) continue;
    best = gain;
    inverse = tried;
    scale = xq / qq;
  }
  scales[index] = scale;
  for (let i = start; i < end; i++) {
    const q = x[i] * inverse + ROUND - ROUND;
    values[i] = (q < -8 ? -8 : q > 7 ? 7 : q) + 8;
  }
};
