/**
 * What must be known of the digits read so far to tell whether a decimal number will be a multiple
 * of `modulus / 10 ** scale`: the remainder of the number so far, in units of `10 ** -scale`.
 * Numbers have at most `scale` digits behind the point.
 */
export class Remainders {
  readonly #modulus: number;
  /** Units of the last digit before the point, and of each digit behind it. */
  readonly #weights: readonly number[];
  readonly #scale: number;
  readonly #alike = new Map<string, number>();
  readonly #first = new Map<number, number>();

  /**
   * @param modulus above zero, at most 1e12: ten times a remainder must be an exact double
   * @param scale digits behind the point
   */
  constructor(modulus: number, scale: number) {
    this.#modulus = modulus;
    this.#scale = scale;
    this.#weights = Array.from({ length: scale + 1 }, (_, place) =>
      Number(10n ** BigInt(scale - place) % BigInt(modulus)),
    );
  }

  /**
   * @param place of the digit: 0 before the point, 1 for the first behind it
   * @returns the remainder with one more digit; null when it is one digit too many
   */
  next(remainder: number, digit: number, place: number): number | null {
    if (place > this.#scale) return null;
    const before = place === 0 ? remainder * 10 : remainder;
    const next = (before + digit * this.#weights[place]) % this.#modulus;
    return this.#scale === 0 ? this.#firstAlike(next) : next;
  }

  /**
   * Many remainders of an integer say the same of all that may follow, if 2 or 5 divide the
   * modulus: of 1,000 only the last zeros count, and 4 of 1,000 remainders differ. Two are alike
   * when with no more digits, one more, two and so on the same digits lead to a multiple.
   */
  #firstAlike(remainder: number): number {
    const known = this.#first.get(remainder);
    if (known !== undefined) return known;
    const wanted: number[] = [];
    let shifted = remainder;
    for (let power = 1; power < this.#modulus; power *= 10) {
      const missing = (this.#modulus - shifted) % this.#modulus;
      wanted.push(missing < power ? missing : -1);
      shifted = (shifted * 10) % this.#modulus;
    }
    const key = `${wanted.join(' ')} ${shifted}`;
    const first = this.#alike.get(key) ?? remainder;
    this.#alike.set(key, first);
    this.#first.set(remainder, first);
    return first;
  }
}
