/** Words of a Philox counter, and of one block of its output. */
export const PHILOX_WORDS = 4;

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
/** Increments of the key in each round: the golden ratio, and the square root of 3 minus 1. */
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/**
 * Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3",
 * SC'11): a block of random words is a function of a counter and a key, without any state. It runs
 * for every sampled token, so it makes no objects.
 *
 * @param counter four uint32
 * @param key two uint32
 * @param block gets four uint32
 */
export function philox(
  counter: ArrayLike<number>,
  key: ArrayLike<number>,
  block: Uint32Array,
): void {
  let a = counter[0];
  let b = counter[1];
  let c = counter[2];
  let d = counter[3];
  let first = key[0];
  let second = key[1];
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = highProduct(MULTIPLIER_0, a);
    const low0 = Math.imul(MULTIPLIER_0, a);
    const high1 = highProduct(MULTIPLIER_1, c);
    const low1 = Math.imul(MULTIPLIER_1, c);
    a = high1 ^ b ^ first;
    b = low1;
    c = high0 ^ d ^ second;
    d = low0;
    first = (first + WEYL_0) | 0;
    second = (second + WEYL_1) | 0;
  }
  block[0] = a;
  block[1] = b;
  block[2] = c;
  block[3] = d;
}

/** Memory of one call of `uniform`. */
const COUNTER = new Uint32Array(PHILOX_WORDS);
const KEY = new Uint32Array(2);
const BLOCK = new Uint32Array(PHILOX_WORDS);

/**
 * Seeds are integers from 0 to this limit, exclusive: those that JavaScript's numbers represent
 * exactly.
 */
export const SEED_LIMIT = 2 ** 53;

/**
 * A uniform number in [0, 1), of 53 bits, from a seed and a counter. A request's n-th token draws
 * the same number in any batch, and after a preemption, too.
 *
 * @param seed 0 to `SEED_LIMIT - 1`; its two words are the key
 * @param counter a non-negative safe integer
 */
export function uniform(seed: number, counter: number): number {
  COUNTER[0] = counter;
  COUNTER[1] = upperWord(counter);
  KEY[0] = seed;
  KEY[1] = upperWord(seed);
  philox(COUNTER, KEY, BLOCK);
  return ((BLOCK[0] >>> 5) * 2 ** 26 + (BLOCK[1] >>> 6)) / 2 ** 53;
}

/** The seed of the `index`-th sequence of a request: `seed + index`, modulo `SEED_LIMIT`. */
export function seedOf(seed: number, index: number): number {
  const left = SEED_LIMIT - seed;
  return index < left ? seed + index : index - left;
}

const upperWord = (value: number): number => Math.floor(value / 2 ** 32) >>> 0;

/** The upper word of a product of two uint32. Each partial product is exact in a float64. */
function highProduct(multiplier: number, value: number): number {
  const word = value >>> 0;
  const low = multiplier * (word & 0xffff);
  const high = multiplier * (word >>> 16);
  return Math.floor((high + Math.floor(low / 2 ** 16)) / 2 ** 16);
}
