import { float16At } from '../../float16.js';
import { looked, NOT_LINEAR } from './blocks-of-32.js';
import type { PackedFormat } from './packed-format.js';

// llama.cpp's k-quants: blocks of 256 with scales of few bits, which have a scale themselves.

const SIZE = 256;
const { fround } = Math;

/** 2 bits: 16 bytes of scales and leasts, 64 of numbers, two float16. */
const q2k: PackedFormat = {
  name: 'Q2_K',
  blockSize: SIZE,
  blockBytes: 84,
  bits: 4,
  group: 16,
  hasLeast: true,
  unpack: (bytes, at, { values, scales, least }, index) => {
    const [d, dmin] = [float16At(bytes, at + 80), float16At(bytes, at + 82)];
    for (let s = 0; s < 16; s++) {
      scales[index * 16 + s] = d * (bytes[at + s] & 15);
      least[index * 16 + s] = -fround(dmin * (bytes[at + s] >> 4));
    }
    for (let i = 0; i < SIZE; i++) {
      const byte = bytes[at + 16 + (i >> 7) * 32 + (i & 31)];
      values[index * SIZE + i] = (byte >> (2 * ((i >> 5) & 3))) & 3;
    }
  },
};

/** 3 bits: 32 bytes of high bits, 64 of low ones, 12 of scales, a float16. */
const q3k: PackedFormat = {
  name: 'Q3_K',
  blockSize: SIZE,
  blockBytes: 110,
  bits: 4,
  group: 16,
  hasLeast: false,
  unpack: (bytes, at, { values, scales }, index) => {
    const d = float16At(bytes, at + 108);
    const packed = at + 96;
    for (let s = 0; s < 16; s++) {
      const low = (bytes[packed + (s & 7)] >> (s < 8 ? 0 : 4)) & 15;
      const high = (bytes[packed + 8 + (s & 3)] >> (2 * (s >> 2))) & 3;
      scales[index * 16 + s] = d * ((low | (high << 4)) - 32);
    }
    for (let i = 0; i < SIZE; i++) {
      const low = (bytes[at + 32 + (i >> 7) * 32 + (i & 31)] >> (2 * ((i >> 5) & 3))) & 3;
      const high = (bytes[at + (i & 31)] >> (i >> 5)) & 1;
      values[index * SIZE + i] = 4 + low + 4 * high;
    }
  },
};

/** Eight scales and leasts of 6 bits in 12 bytes. */
function sixBits(
  bytes: Uint8Array,
  at: number,
  s: number,
): readonly [scale: number, least: number] {
  if (s < 4) return [bytes[at + s] & 63, bytes[at + 4 + s] & 63];
  const both = bytes[at + 4 + s];
  return [(both & 15) | ((bytes[at + s - 4] >> 6) << 4), (both >> 4) | ((bytes[at + s] >> 6) << 4)];
}

/** 4 bits and 5: two float16, 12 bytes of scales, 32 of high bits for five, 128 of low ones. */
function wide(name: string, blockBytes: number, bits: 4 | 8): PackedFormat {
  const low = blockBytes - 128;
  return {
    name,
    blockSize: SIZE,
    blockBytes,
    bits,
    group: 32,
    hasLeast: true,
    unpack: (bytes, at, { values, scales, least }, index) => {
      const [d, dmin] = [float16At(bytes, at), float16At(bytes, at + 2)];
      for (let s = 0; s < 8; s++) {
        const [scale, min] = sixBits(bytes, at + 4, s);
        scales[index * 8 + s] = d * scale;
        least[index * 8 + s] = -fround(dmin * min);
      }
      for (let i = 0; i < SIZE; i++) {
        const part = i >> 5;
        const byte = bytes[at + low + (i >> 6) * 32 + (i & 31)];
        const high = bits === 8 ? (bytes[at + 16 + (i & 31)] >> part) & 1 : 0;
        values[index * SIZE + i] = ((byte >> (4 * (part & 1))) & 15) | (high << 4);
      }
    },
  };
}

/** 6 bits: 128 bytes of low bits, 64 of high ones, 16 scales of 8 bits, a float16. */
const q6k: PackedFormat = {
  name: 'Q6_K',
  blockSize: SIZE,
  blockBytes: 210,
  bits: 8,
  group: 16,
  hasLeast: false,
  unpack: (bytes, at, { values, scales }, index) => {
    const d = float16At(bytes, at + 208);
    for (let s = 0; s < 16; s++) {
      scales[index * 16 + s] = d * ((bytes[at + 192 + s] << 24) >> 24);
    }
    for (let i = 0; i < SIZE; i++) {
      const side = i >> 7;
      const part = (i >> 5) & 3;
      const low = bytes[at + side * 64 + (i & 63)] >> (4 * (part >> 1));
      const high = bytes[at + 128 + side * 32 + (i & 31)] >> (2 * part);
      values[index * SIZE + i] = 96 + ((low & 15) | ((high & 3) << 4));
    }
  },
};

const codes = looked(NOT_LINEAR);

/** IQ4_NL with eight scales of 6 bits for a block of 256. */
const iq4xs: PackedFormat = {
  name: 'IQ4_XS',
  blockSize: SIZE,
  blockBytes: 136,
  bits: 8,
  group: 32,
  hasLeast: false,
  unpack: (bytes, at, { values, scales }, index) => {
    const d = float16At(bytes, at);
    const high = bytes[at + 2] | (bytes[at + 3] << 8);
    for (let s = 0; s < 8; s++) {
      const low = (bytes[at + 4 + (s >> 1)] >> (4 * (s & 1))) & 15;
      scales[index * 8 + s] = d * ((low | (((high >> (2 * s)) & 3) << 4)) - 32);
      codes(bytes, at + 8 + 16 * s, values, index * SIZE + 32 * s);
    }
  },
};

export const BLOCKS_OF_256: readonly PackedFormat[] = [
  q2k,
  q3k,
  wide('Q4_K', 144, 4),
  wide('Q5_K', 176, 8),
  q6k,
  iq4xs,
];
