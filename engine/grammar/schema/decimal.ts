/** A number from its shortest decimal: `units / 10 ** scale`, with the smallest scale. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

/**
 * Integer part and fraction of a number's magnitude, from its shortest decimal: 1.50e1 is
 * `[15n, '']`.
 */
export function digitsOf(value: number): [whole: bigint, fraction: string] {
  const [mantissa, exponent = '0'] = String(Math.abs(value)).split('e');
  const [whole, fraction = ''] = mantissa.split('.');
  const shift = Number(exponent);
  const all = whole + fraction;
  const point = whole.length + shift;
  const padded = point <= 0 ? '0'.repeat(1 - point) + all : all.padEnd(point, '0');
  const at = Math.max(1, point);
  return [BigInt(padded.slice(0, at)), padded.slice(at).replace(/0+$/, '')];
}

/** The magnitude of a number. */
export function decimalOf(value: number): Decimal {
  const [whole, fraction] = digitsOf(value);
  return { units: BigInt(`${whole}${fraction}`), scale: fraction.length };
}

/**
 * Compares decimals as they are written: 0.3 is a multiple of 0.1, although that is not true of the
 * two doubles.
 */
export function isMultiple(value: number, of: Decimal): boolean {
  const [a, b] = unitsOf(decimalOf(value), of);
  return a % b === 0n;
}

/** The smallest decimal that is a multiple of both; both must be above zero. */
export function leastCommonMultiple(one: Decimal, other: Decimal): Decimal {
  const [a, b] = unitsOf(one, other);
  let units = (a / greatestCommonDivisor(a, b)) * b;
  let scale = Math.max(one.scale, other.scale);
  while (scale > 0 && units % 10n === 0n) {
    units /= 10n;
    scale -= 1;
  }
  return { units, scale };
}

/** Both numbers in units of the finer scale. */
function unitsOf(one: Decimal, other: Decimal): [bigint, bigint] {
  const scale = Math.max(one.scale, other.scale);
  return [
    one.units * 10n ** BigInt(scale - one.scale),
    other.units * 10n ** BigInt(scale - other.scale),
  ];
}

export function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestCommonDivisor(b, a % b);
}
