/** Words of a Philox counter, and of one block of its output. */
export const PHILOX_WORDS = 4;

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
/** Increments of the key in each round: the golden ratio, and the square root of 3 minus 1. */
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;
const ROUNDS = 10;

/**
 * Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3",
 * SC'11): a block of random words is a function of a counter and a key, without any state.
 *
 * @param counter four uint32
 * @param key two uint32
 * @returns four uint32, which belong to the caller
 */
export function philox(counter: readonly number[], key: readonly number[]): Uint32Array {
  let [a, b, c, d] = counter;
  let [first, second] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [m0, m1] = MULTIPLIERS;
    const [high0, high1] = [highProduct(m0, a), highProduct(m1, c)];
    [a, b, c, d] = [high1 ^ b ^ first, Math.imul(m1, c), high0 ^ d ^ second, Math.imul(m0, a)];
    first = (first + WEYL[0]) | 0;
    second = (second + WEYL[1]) | 0;
  }
  return Uint32Array.of(a, b, c, d);
}

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
  const block = philox([counter >>> 0, upperWord(counter), 0, 0], [seed >>> 0, upperWord(seed)]);
  return ((block[0] >>> 5) * 2 ** 26 + (block[1] >>> 6)) / 2 ** 53;
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
