/**
 * Decides, digit by digit, whether a decimal number is a multiple of `modulus / 10 ** scale`, from
 * the remainder of the digits so far, in units of `10 ** -scale`. Numbers have at most `scale`
 * digits after the decimal point.
 */
export class Remainders {
  readonly #modulus: number;
  /** Units of the last digit before the decimal point, and of each digit after it. */
  readonly #weights: readonly number[];
  readonly #scale: number;
  readonly #alike = new Map<string, number>();
  readonly #first = new Map<number, number>();

  /**
   * @param modulus above zero, at most 1e12: ten times a remainder must be an exact double
   * @param scale digits after the decimal point
   */
  constructor(modulus: number, scale: number) {
    this.#modulus = modulus;
    this.#scale = scale;
    this.#weights = Array.from({ length: scale + 1 }, (_, place) =>
      Number(10n ** BigInt(scale - place) % BigInt(modulus)),
    );
  }

  /**
   * @param place position of the digit: 0 before the decimal point, 1 for the first after it
   * @returns the remainder with one more digit; null when there is no room for the digit
   */
  next(remainder: number, digit: number, place: number): number | null {
    if (place > this.#scale) return null;
    const before = place === 0 ? remainder * 10 : remainder;
    const next = (before + digit * this.#weights[place]) % this.#modulus;
    return this.#scale === 0 ? this.#firstAlike(next) : next;
  }

  /**
   * If 2 or 5 divides the modulus, many remainders of an integer are equivalent: for 1,000, only
   * trailing zeros count, and only 4 of 1,000 remainders differ. Two remainders are equivalent when
   * the same further digits, of any number, lead to a multiple.
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
