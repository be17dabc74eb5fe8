import {
  characters,
  choice,
  choiceOf,
  type Expression,
  optional,
  repeat,
  sequence,
  text,
} from '../language/expression.js';
import { digitsOf } from './decimal.js';

/**
 * Maximum number of digits. JSON has no limit, but its readers have: 18 digits fit an integer of 64
 * bits, and no such number is infinite in JavaScript.
 */
const INTEGER_DIGITS = 18;
const FRACTION_DIGITS = 15;
const EXPONENT_DIGITS = 2;

/**
 * Decimals of up to 15 significant digits are distinct doubles, so comparing the decimals equals
 * comparing the parsed numbers.
 */
export const EXACT_DIGITS = 15;

/**
 * Digits after the decimal point of a number with bounds, unless its bounds or `multipleOf` have
 * more.
 */
const BOUNDED_FRACTION_DIGITS = 6;

export interface Bound {
  readonly value: number;
  readonly isExclusive: boolean;
}

export interface Bounds {
  readonly min: Bound | null;
  readonly max: Bound | null;
}

const digits = (from: number, to: number): Expression => characters([0x30 + from, 0x30 + to]);
const ANY_DIGIT = digits(0, 9);
const ZERO = text('0');

const upToDigits = (count: number): Expression =>
  choice(ZERO, sequence(digits(1, 9), repeat(ANY_DIGIT, 0, count - 1)));

const integerOf = (count: number): Expression => sequence(optional(text('-')), upToDigits(count));

const ANY_INTEGER = integerOf(INTEGER_DIGITS);

export const ANY_NUMBER = sequence(
  ANY_INTEGER,
  optional(sequence(text('.'), repeat(ANY_DIGIT, 1, FRACTION_DIGITS))),
  optional(
    sequence(
      choice(text('e'), text('E')),
      optional(choice(text('+'), text('-'))),
      repeat(ANY_DIGIT, 1, EXPONENT_DIGITS),
    ),
  ),
);

/**
 * Integers within bounds, as digits.
 *
 * @param count maximum number of digits of an unbounded integer
 * @returns null when there are none
 */
export function integersBetween(
  { min, max }: Bounds,
  count: number = INTEGER_DIGITS,
): Expression | null {
  if (!min && !max) return integerOf(count);
  const low = min && integerAbove(min);
  const high = max && -integerAbove({ ...max, value: -max.value });
  const items: Expression[] = [];
  const negativeLow = low === null || low < 0n;
  if (negativeLow) {
    const nearest = high !== null && high < 0n ? -high : 1n;
    const farthest = low === null ? null : -low;
    const magnitudes = naturalsBetween(nearest, farthest, count);
    if (magnitudes) items.push(sequence(text('-'), magnitudes));
  }
  if (high === null || high >= 0n) {
    const naturals = naturalsBetween(low !== null && low > 0n ? low : 0n, high, count);
    if (naturals) items.push(naturals);
  }
  return items.length === 0 ? null : choiceOf(items);
}

/** The smallest integer that a lower bound allows. */
function integerAbove({ value, isExclusive }: Bound): bigint {
  const ceiling = BigInt(Math.ceil(value));
  return isExclusive && Number.isInteger(value) ? ceiling + 1n : ceiling;
}

function naturalsBetween(low: bigint, high: bigint | null, mostDigits: number): Expression | null {
  if (high !== null && low > high) return null;
  const items: Expression[] = [];
  const lowDigits = String(low).length;
  const highDigits = high === null ? lowDigits : String(high).length;
  for (let count = lowDigits; count <= highDigits; count++) {
    const least = count === lowDigits ? low : 10n ** BigInt(count - 1);
    const most = high !== null && count === highDigits ? high : 10n ** BigInt(count) - 1n;
    items.push(sameLength(String(least), String(most)));
  }
  if (high === null && lowDigits < mostDigits) {
    items.push(sequence(digits(1, 9), repeat(ANY_DIGIT, lowDigits, mostDigits - 1)));
  }
  return choiceOf(items);
}

/** Digit strings between two others, all of the same length. */
function sameLength(low: string, high: string): Expression {
  const count = low.length;
  if (/^0*$/.test(low) && /^9*$/.test(high)) return repeat(ANY_DIGIT, count, count);
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [restLow, restHigh] = [low.slice(1), high.slice(1)];
  if (count === 1) return digits(first, last);
  if (first === last) return sequence(digits(first, first), sameLength(restLow, restHigh));
  const nines = '9'.repeat(count - 1);
  const zeros = '0'.repeat(count - 1);
  const items = [sequence(digits(first, first), sameLength(restLow, nines))];
  if (last - first > 1) {
    items.push(sequence(digits(first + 1, last - 1), repeat(ANY_DIGIT, count - 1, count - 1)));
  }
  items.push(sequence(digits(last, last), sameLength(zeros, restHigh)));
  return choiceOf(items);
}

/**
 * Decimal numbers within bounds, without exponent; any number when there are no bounds.
 *
 * @param places digits after the decimal point that must be possible; null for those that bounds
 *   leave
 * @returns null when there are none
 */
export function numbersBetween(
  { min, max }: Bounds,
  places: number | null = null,
): Expression | null {
  if (!min && !max && places === null) return ANY_NUMBER;
  const least = Math.max(BOUNDED_FRACTION_DIGITS, places ?? 0);
  const items: Expression[] = [];
  const zero: Bound = { value: 0, isExclusive: false };
  const aboveZero: Bound = { value: 0, isExclusive: true };
  if (!min || min.value < 0) {
    const nearest = max && max.value < 0 ? { ...max, value: -max.value } : aboveZero;
    const farthest = min && { ...min, value: -min.value };
    const magnitudes = decimalsBetween(nearest, farthest, least);
    if (magnitudes) items.push(sequence(text('-'), magnitudes));
  }
  if (!max || max.value >= 0) {
    const decimals = decimalsBetween(min && min.value >= 0 ? min : zero, max, least);
    if (decimals) items.push(decimals);
  }
  return items.length === 0 ? null : choiceOf(items);
}

/**
 * Non-negative decimals. The integer part lies strictly between those of the bounds, or equals one
 * of them and the fraction decides.
 */
function decimalsBetween(low: Bound, high: Bound | null, places: number): Expression | null {
  const [lowWhole, lowFraction] = digitsOf(low.value);
  const [highWhole, highFraction] = high ? digitsOf(high.value) : [null, ''];
  const fractionDigits = Math.max(places, lowFraction.length, highFraction.length);
  const wholeDigits = Math.max(1, EXACT_DIGITS - fractionDigits);
  const atLow = { digits: lowFraction, isExclusive: low.isExclusive };
  const atHigh = high && { digits: highFraction, isExclusive: high.isExclusive };
  const items: Expression[] = [];
  const add = (
    whole: Expression | null,
    least: FractionBound | null,
    most: FractionBound | null,
  ): void => {
    const fraction = fractions(least, most, fractionDigits);
    if (!whole) return;
    if (fraction.canBeAbsent) items.push(whole);
    if (fraction.digits) items.push(sequence(whole, text('.'), fraction.digits));
  };
  if (lowWhole === highWhole) {
    add(text(String(lowWhole)), atLow, atHigh);
  } else if (highWhole === null || lowWhole < highWhole) {
    add(text(String(lowWhole)), atLow, null);
    const most = highWhole === null ? 10n ** BigInt(wholeDigits) - 1n : highWhole - 1n;
    add(naturalsBetween(lowWhole + 1n, most, wholeDigits), null, null);
    if (highWhole !== null) add(text(String(highWhole)), null, atHigh);
  }
  return items.length === 0 ? null : choiceOf(items);
}

/** Digits after the decimal point, without trailing zeros. */
interface FractionBound {
  readonly digits: string;
  readonly isExclusive: boolean;
}

/**
 * Digit strings after the decimal point between two bounds; null when there are none. The empty
 * string, which is zero, is returned separately.
 */
function fractions(
  least: FractionBound | null,
  most: FractionBound | null,
  budget: number,
): { canBeAbsent: boolean; digits: Expression | null } {
  const low = least?.digits === '' && !least.isExclusive ? null : least;
  const canBeAbsent = low === null && !(most?.digits === '' && most.isExclusive);
  if (budget === 0) return { canBeAbsent, digits: null };
  if (low === null && most === null) {
    return { canBeAbsent, digits: repeat(ANY_DIGIT, 1, budget) };
  }
  const lowDigit = low === null ? 0 : Number(low.digits[0] ?? '0');
  const highDigit = most === null ? 9 : Number(most.digits[0] ?? '0');
  const items: Expression[] = [];
  const add = (from: number, to: number, bounded: { low: boolean; high: boolean }): void => {
    const rest = fractions(
      bounded.low && low ? { ...low, digits: low.digits.slice(1) } : null,
      bounded.high && most ? { ...most, digits: most.digits.slice(1) } : null,
      budget - 1,
    );
    if (rest.digits) {
      const more = rest.canBeAbsent ? optional(rest.digits) : rest.digits;
      items.push(sequence(digits(from, to), more));
    } else if (rest.canBeAbsent) items.push(digits(from, to));
  };
  if (lowDigit > highDigit) return { canBeAbsent, digits: null };
  if (lowDigit === highDigit) add(lowDigit, lowDigit, { low: true, high: true });
  else {
    add(lowDigit, lowDigit, { low: true, high: false });
    if (highDigit - lowDigit > 1) add(lowDigit + 1, highDigit - 1, { low: false, high: false });
    add(highDigit, highDigit, { low: false, high: true });
  }
  return { canBeAbsent, digits: items.length === 0 ? null : choiceOf(items) };
}

/**
 * @param places digits after the decimal point that must be possible
 * @returns a bound that cannot be enforced exactly, because with more digits two decimals may be
 *   the same double; null when all can
 */
export function inexactBound<B extends Bound>(
  { min, max }: { readonly min: B | null; readonly max: B | null },
  isInteger: boolean,
  places: number | null = null,
): B | null {
  const mostDigits = places === null ? INTEGER_DIGITS - 1 : EXACT_DIGITS;
  const least = Math.max(BOUNDED_FRACTION_DIGITS, places ?? 0);
  const found = [min, max].find((bound) => {
    if (!bound) return false;
    const [whole, fraction] = digitsOf(bound.value);
    if (isInteger) return String(whole).length > mostDigits;
    return String(whole).length + Math.max(least, fraction.length) > EXACT_DIGITS;
  });
  return found ?? null;
}
