import { type Expression, regular, repeat } from '../language/expression.js';
import { insideString, lengthBounds } from '../language/json-text.js';
import { parseRegex } from '../language/regex.js';
import { FORMATS, formatExpression } from './formats.js';
import { COUNTED_CHARACTER, inQuotes, STRING } from './json-rules.js';
import type { Constraint } from './keyword-reader.js';
import { schemaError } from './keywords.js';
import { quote } from './located.js';
import type { Shape } from './shape.js';

/** Strings of the shape. @returns null when no string is valid */
export function stringOf(shape: Shape): Expression | null {
  const { minLength, maxLength, patterns, formats } = shape;
  if (maxLength !== null && maxLength < minLength) return null;
  const constraints = [...patterns, ...formats];
  const [first] = constraints;
  const second = constraints.find(({ value }) => value !== first.value);
  if (second) {
    throw schemaError(
      second.pointer,
      `only one pattern or format for a string is supported, not also ${quote(first.value)}`,
    );
  }
  if (first) {
    const language = patterns.length > 0 ? patternOf(first) : formatOf(first);
    return regular(inQuotes(insideString(withLength(language, shape, first))));
  }
  if (minLength === 0 && maxLength === null) return STRING;
  return regular(inQuotes(repeat(COUNTED_CHARACTER, minLength, maxLength)));
}

const patternOf = ({ value, pointer }: Constraint): Expression =>
  parseRegex(value, 'anywhere', `the JSON schema at ${pointer}`);

function formatOf({ value, pointer }: Constraint): Expression {
  const known = formatExpression(value);
  if (!known) {
    throw schemaError(
      pointer,
      `the format ${quote(value)} is not supported; one of ${Object.keys(FORMATS).join(', ')}`,
    );
  }
  return known;
}

/**
 * Combines length bounds with a pattern: nothing to do where the pattern implies them, and simple
 * where it repeats one character.
 */
function withLength(
  language: Expression,
  { minLength, maxLength }: Shape,
  { pointer }: Constraint,
): Expression {
  const { min, max } = lengthBounds(language);
  const isImplied = minLength <= min && (maxLength === null || (max !== null && max <= maxLength));
  if (isImplied) return language;
  if (language.kind === 'repeat' && language.item.kind === 'class') {
    const least = Math.max(language.min, minLength);
    const most = Math.min(language.max ?? Infinity, maxLength ?? Infinity);
    if (least <= most) return repeat(language.item, least, most === Infinity ? null : most);
  }
  throw schemaError(
    pointer,
    `minLength ${minLength} and maxLength ${maxLength ?? 'none'} beside it are not supported: it allows ${min} to ` +
      `${max ?? 'any number of'} characters. Write the length into the pattern`,
  );
}
