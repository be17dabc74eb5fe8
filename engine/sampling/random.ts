/**
 * A uniform number in [0, 1) from a seed and a counter. Without state, so that a request's n-th token draws the
 * same number whatever ran beside it, and after a preemption too.
 *
 * Two rounds of the 32-bit finaliser of MurmurHash3 (Appleby 2011) for each of two words: 53 bits together.
 */
export function uniform(seed: number, counter: number): number {
  const high = mix(mix(seed) ^ Math.imul(counter, 2) ^ 0x9e3779b9) >>> 5;
  const low = mix(mix(seed) ^ (Math.imul(counter, 2) + 1) ^ 0x85ebca6b) >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

function mix(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul(h + 0x6d2b79f5, 0x85ebca6b);
  return (h ^ (h >>> 15)) >>> 0;
}
