import { float16At } from '../../float16.js';
import { DOUBLED_E2M1, halvedPower } from './e2m1.js';
import type { PackedFormat, Unpacked } from './packed-format.js';

const SIZE = 32;
const HALF = SIZE / 2;

type Numbers = (bytes: Uint8Array, at: number, values: Uint8Array, to: number) => void;

/** A block of one scale, then for some a least value, then 32 numbers. */
function format(
  name: string,
  blockBytes: number,
  bits: 4 | 8,
  hasLeast: boolean,
  numbers: Numbers,
): PackedFormat {
  const start = hasLeast ? 4 : 2;
  return {
    name,
    blockSize: SIZE,
    blockBytes,
    bits,
    group: SIZE,
    hasLeast,
    unpack: (bytes, at, { values, scales, least }, index) => {
      scales[index] = float16At(bytes, at);
      if (hasLeast) least[index] = float16At(bytes, at + 2);
      numbers(bytes, at + start, values, index * SIZE);
    },
  };
}

/** Numbers 0 to 15 in the lower halves of the bytes, and 16 to 31 in the upper ones. */
const nibbles: Numbers = (bytes, at, values, to) => {
  for (let i = 0; i < HALF; i++) {
    values[to + i] = bytes[at + i] & 15;
    values[to + HALF + i] = bytes[at + i] >> 4;
  }
};

/** Four bytes with a fifth bit for each number, then the other four. @param plus added to all */
const fiveBits =
  (plus: number): Numbers =>
  (bytes, at, values, to) => {
    const high = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    nibbles(bytes, at + 4, values, to);
    for (let i = 0; i < SIZE; i++) values[to + i] += (((high >>> i) & 1) << 4) + plus;
  };

/** Signed bytes, as bytes around 128. */
const signedBytes: Numbers = (bytes, at, values, to) => {
  for (let i = 0; i < SIZE; i++) values[to + i] = bytes[at + i] ^ 128;
};

/** A number of four bits that stands for another. */
export const looked =
  (list: readonly number[]): Numbers =>
  (bytes, at, values, to) => {
    nibbles(bytes, at, values, to);
    for (let i = 0; i < SIZE; i++) values[to + i] = 128 + list[values[to + i]];
  };

/** The numbers of IQ4_NL and IQ4_XS, which lie closer around 0. */
export const NOT_LINEAR = [
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

const doubled = looked(DOUBLED_E2M1);

/** The scale is a power of 2, of which half is taken: the numbers are doubled. */
const mxfp4: PackedFormat = {
  name: 'MXFP4',
  blockSize: SIZE,
  blockBytes: 17,
  bits: 8,
  group: SIZE,
  hasLeast: false,
  unpack: (bytes: Uint8Array, at: number, { values, scales }: Unpacked, index: number) => {
    scales[index] = halvedPower(bytes[at]);
    doubled(bytes, at + 1, values, index * SIZE);
  },
};

export const BLOCKS_OF_32: readonly PackedFormat[] = [
  format('Q4_0', 18, 4, false, nibbles),
  format('Q4_1', 20, 4, true, nibbles),
  format('Q5_0', 22, 8, false, fiveBits(112)),
  format('Q5_1', 24, 8, true, fiveBits(0)),
  format('Q8_0', 34, 8, false, signedBytes),
  format('IQ4_NL', 18, 8, false, looked(NOT_LINEAR)),
  mxfp4,
];
