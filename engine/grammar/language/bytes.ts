import type { Range } from './expression.js';

/** A sequence of byte ranges: the encodings of a set of code points. */
export type ByteRanges = readonly Range[];

const LAST_OF_LENGTH = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/**
 * The UTF-8 of a range of code points, without surrogates, as the fewest sequences of byte ranges.
 */
export function utf8Ranges([first, last]: Range): ByteRanges[] {
  const boundary = LAST_OF_LENGTH.find((limit) => first <= limit && limit < last);
  if (boundary !== undefined) {
    return [...utf8Ranges([first, boundary]), ...utf8Ranges([boundary + 1, last])];
  }
  // Splits the range so that continuation bytes take all their values.
  for (let bits = 6; bits <= (last > 0x7f ? 18 : 0); bits += 6) {
    const mask = (1 << bits) - 1;
    if (first >> bits === last >> bits) continue;
    if ((first & mask) !== 0) {
      return [...utf8Ranges([first, first | mask]), ...utf8Ranges([(first | mask) + 1, last])];
    }
    if ((last & mask) !== mask) {
      return [...utf8Ranges([first, (last & ~mask) - 1]), ...utf8Ranges([last & ~mask, last])];
    }
  }
  const low = Buffer.from(String.fromCodePoint(first));
  const high = Buffer.from(String.fromCodePoint(last));
  return [[...low].map((byte, index): Range => [byte, high[index]])];
}

/**
 * Encodes bytes for the library, which reads character classes beyond ASCII wrongly (0.1.27: `[^é]`
 * and `[а-я]` match any character) and has no notation for bytes. It therefore never receives bytes
 * above 127: each is written as two symbols below 128, in its vocabulary and in its grammars alike.
 * DEL begins such a pair; DEL itself is written as the pair of 0xff, which does not occur in UTF-8.
 */
export function toSymbols(bytes: Iterable<number>): number[] {
  const symbols: number[] = [];
  for (const byte of bytes) {
    if (byte >= 0x80) symbols.push(PAIR, byte & 0x7f);
    else if (byte === PAIR) symbols.push(PAIR, PAIR);
    else symbols.push(byte);
  }
  return symbols;
}

export const PAIR = 0x7f;

/** The bytes of `toSymbols`; a pair that is cut off has none. */
export function toBytes(symbols: string): number[] {
  const bytes: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const code = symbols.charCodeAt(i);
    if (code !== PAIR) {
      bytes.push(code);
      continue;
    }
    i += 1;
    if (i === symbols.length) break;
    const second = symbols.charCodeAt(i);
    bytes.push(second === PAIR ? PAIR : second | 0x80);
  }
  return bytes;
}
