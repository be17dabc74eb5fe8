import type { Expression } from '../language/expression.js';
import { multiplesAmong } from '../language/multiples.js';
import { greatestCommonDivisor } from './decimal.js';
import type { LocatedDecimal } from './keyword-reader.js';
import { schemaError } from './keywords.js';
import { type Bounds, EXACT_DIGITS, integersBetween, numbersBetween } from './numbers.js';
import type { RuleContext } from './rule-context.js';

/**
 * Multiples within bounds, without exponent. They have up to 15 digits: with more, what a reader
 * parses would not be the multiple that is written.
 *
 * @returns null when there is none
 * @throws OctavoError `invalid_request` when it takes too many states
 */
export function multiplesOf(
  of: LocatedDecimal,
  bounds: Bounds,
  isInteger: boolean,
  context: RuleContext,
): Expression | null {
  const refuse = (why: string): never => {
    throw schemaError(
      of.pointer,
      `${why} are not supported; bounds with fewer digits may help, or an enum of the allowed numbers`,
    );
  };
  if (!isInteger && of.scale >= EXACT_DIGITS)
    refuse(`more than ${EXACT_DIGITS - 1} decimal places`);
  const numbers = isInteger
    ? integersBetween(bounds, EXACT_DIGITS)
    : numbersBetween(bounds, of.scale);
  if (!numbers) return null;
  const divisor = isInteger ? { units: integerPart(of), scale: 0 } : of;
  const define = (expression: Expression): Expression => context.define(expression);
  const multiples = multiplesAmong(numbers, divisor, define, context.document.work);
  return multiples === 'too many' ? refuse('so many remainders') : multiples;
}

/** The smallest integer above zero that is a multiple. */
function integerPart({ units, scale }: LocatedDecimal): bigint {
  return units / greatestCommonDivisor(units, 10n ** BigInt(scale));
}
