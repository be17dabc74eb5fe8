import type { Unpacked } from '../packed/packed-format.js';
import type { PackedMatrix } from '../packed/packed-matrix.js';
import { groupsOf } from './groups.js';
import { orderOf } from './input-order.js';

/** The parts of a weight of whole numbers, in memory, and which of its rows are wanted. */
export interface WordParts {
  readonly bits: number;
  /** Rows of the whole weight, of which `rows` are read from `first` on. */
  readonly outputs: number;
  readonly columns: number;
  readonly first: number;
  readonly rows: number;
  /** Read when the first row is. */
  readonly values: () => Int32Array;
  readonly scales: Float32Array;
  /** Absent: the middle of the range. */
  readonly zeros: Int32Array | null;
  /** Added to zero points as they are stored. */
  readonly added: 0 | 1;
  /** The group of each input; null: one group after the other. */
  readonly groupOf: Int32Array | null;
}

/** Where number i of a list lies: in which word of 32 bits, and at which bit of it. */
type Place = (i: number) => readonly [word: number, shift: number];

/** AutoAWQ's order of the eight numbers of a word: number i lies at 4 bits times this. */
const AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7];

/**
 * GPTQ: numbers `[inputs * bits / 32, outputs]`, the first input in the lowest bits; scales
 * `[groups, outputs]`; zero points `[groups, outputs * bits / 32]`.
 */
export function gptqMatrix(parts: WordParts): PackedMatrix {
  const { outputs, bits } = parts;
  const perWord = 32 / bits;
  return matrixOf(parts, {
    // A word holds neighboring inputs of one output.
    word: (row, column) => Math.floor(column / perWord) * outputs + row,
    perWord,
    scale: (row, group) => group * outputs + row,
    zero: (row, group) => {
      const [word, shift] = inOrder(perWord, bits)(row);
      return [group * Math.ceil(outputs / perWord) + word, shift];
    },
  });
}

/**
 * AWQ in the order of its `gemm` kernel: numbers `[inputs, outputs / 8]`, scales `[groups,
 * outputs]`, zero points `[groups, outputs / 8]`.
 */
export function awqMatrix(parts: WordParts): PackedMatrix {
  const { outputs } = parts;
  const words = outputs / 8;
  const place: Place = (i) => [i >> 3, 4 * AWQ_PLACES[i & 7]];
  return matrixOf(parts, {
    perWord: 1,
    word: (row, column) => column * words + (row >> 3),
    shift: (row) => place(row)[1],
    scale: (row, group) => group * outputs + row,
    zero: (row, group) => {
      const [word, shift] = place(row);
      return [group * words + word, shift];
    },
  });
}

/**
 * compressed-tensors' `pack-quantized`: numbers `[outputs, inputs * bits / 32]`, scales `[outputs,
 * groups]`, zero points `[outputs * bits / 32, groups]`.
 */
export function packedMatrix(parts: WordParts): PackedMatrix {
  const { columns, bits } = parts;
  const perWord = 32 / bits;
  const words = Math.ceil(columns / perWord);
  const groups = parts.scales.length / parts.outputs;
  return matrixOf(parts, {
    perWord,
    word: (row, column) => row * words + Math.floor(column / perWord),
    scale: (row, group) => row * groups + group,
    zero: (row, group) => {
      const [word, shift] = inOrder(perWord, bits)(row);
      return [word * groups + group, shift];
    },
  });
}

const inOrder =
  (perWord: number, bits: number): Place =>
  (i) => [Math.floor(i / perWord), bits * (i % perWord)];

/** How a format lays out its numbers; rows are those of the whole weight. */
interface Layout {
  /** The word with the number at a row and a column, which is a multiple of `perWord`. */
  readonly word: (row: number, column: number) => number;
  /** Neighboring columns in a word, from its lowest bits on. */
  readonly perWord: number;
  /** Of a word that holds one column of several rows: where the row's number begins. */
  readonly shift?: (row: number) => number;
  readonly scale: (row: number, group: number) => number;
  readonly zero: (row: number, group: number) => readonly [word: number, shift: number];
}

function matrixOf(parts: WordParts, layout: Layout): PackedMatrix {
  const { rows, columns, bits, zeros, first: start } = parts;
  let values: Int32Array | null = null;
  const stored = parts.scales.length / parts.outputs;
  const { group, repeats } = groupsOf(columns, stored);
  const order = parts.groupOf && orderOf(parts.groupOf, stored);
  const places = placesOf(order, columns);
  const { perWord, word, shift = () => 0 } = layout;
  const mask = 2 ** bits - 1;
  const read = (first: number, count: number, into: Unpacked): void => {
    values ??= parts.values();
    for (let r = 0; r < count; r++) {
      const row = start + first + r;
      const at = r * columns;
      const low = shift(row);
      for (let k = 0; k < columns; k += perWord) {
        const bitsOfWord = values[word(row, k)] >>> low;
        for (let j = 0; j < perWord; j++) {
          into.values[at + places[k + j]] = (bitsOfWord >>> (bits * j)) & mask;
        }
      }
      for (let g = 0; g < stored; g++) {
        const scale = parts.scales[layout.scale(row, g)];
        const [at0, bit] = layout.zero(row, g);
        const zero = zeros ? ((zeros[at0] >>> bit) + parts.added) & mask : 0;
        const from = (r * stored + g) * repeats;
        into.scales.fill(scale, from, from + repeats);
        into.zeroPoints.fill(zero, from, from + repeats);
      }
    }
  };
  return {
    rows,
    columns,
    bits: bits === 8 ? 8 : 4,
    group,
    origin: zeros ? 'zero-points' : 'middle',
    order,
    rowBytes: (columns * bits) / 8,
    read,
  };
}

/** By input, its column. */
function placesOf(order: Int32Array | null, columns: number): Int32Array {
  const places = Int32Array.from({ length: columns }, (_, k) => k);
  if (order) for (const [column, input] of order.entries()) places[input] = column;
  return places;
}
