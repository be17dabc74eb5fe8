/** The value of a float16's bits. */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The bits of the nearest float16, ties to even; beyond 65,504 infinity. */
export function toFloat16(value: number): number {
  float[0] = value;
  const sign = (word[0] >>> 16) & 0x8000;
  const magnitude = word[0] & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  const exponent = (magnitude >>> 23) - 127;
  if (exponent > 15) return sign | 0x7c00;
  // A fraction of 24 bits, of which 10 stay; below 2^-14, one less for each power of two.
  const dropped = 13 + Math.max(0, -14 - exponent);
  if (dropped > 24) return sign;
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const kept = fraction >>> dropped;
  const rest = fraction - kept * 2 ** dropped;
  const half = 2 ** (dropped - 1);
  const rounded = kept + (rest > half || (rest === half && kept % 2 === 1) ? 1 : 0);
  // A carry out of the fraction raises the exponent, which lies right above it.
  return sign | (exponent < -14 ? rounded : ((exponent + 14) << 10) + rounded);
}

let all: Float32Array | null = null;

/**
 * The values of all 65,536 float16 numbers by their bits: a look-up is several times faster than
 * arithmetic.
 */
export function float16Table(): Float32Array {
  all ??= Float32Array.from({ length: 65_536 }, (_, bits) => fromFloat16(bits));
  return all;
}

/** The value of a float16 that two bytes hold, the lower one first. */
export function float16At(bytes: Uint8Array, at: number): number {
  return float16Table()[bytes[at] | (bytes[at + 1] << 8)];
}
