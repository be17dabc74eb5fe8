import {
  characters,
  choice,
  EMPTY,
  type Expression,
  optional,
  regular,
  repeat,
  rule,
  sequence,
  sequenceOf,
  text,
} from '../language/expression.js';
import { ANY_NUMBER } from './numbers.js';

/**
 * White space between the parts of JSON, and names of the rules for JSON without a schema in this
 * style.
 */
export interface JsonStyle {
  /** The colon and the white space after it. */
  readonly colon: Expression;
  /** The comma and the white space after it. */
  readonly comma: Expression;
  /** White space inside brackets that are not empty. */
  readonly edge: Expression;
  readonly value: Expression;
  readonly object: Expression;
  readonly array: Expression;
}

const namesOf = (prefix: string): Pick<JsonStyle, 'value' | 'object' | 'array'> => ({
  value: rule(`${prefix}value`),
  object: rule(`${prefix}object`),
  array: rule(`${prefix}array`),
});

const MAX_INDENT = 24;
const LINE = sequence(text('\n'), repeat(text(' '), 0, MAX_INDENT));

/**
 * A model must be able to write JSON as it was trained to (`{"a": 1}`, or one member on each line),
 * but not white space without end: each place takes at most one space, or one line end with an
 * indent.
 */
export const SPACED: JsonStyle = {
  colon: sequence(text(':'), optional(text(' '))),
  comma: sequence(text(','), optional(choice(text(' '), LINE))),
  edge: optional(LINE),
  ...namesOf(''),
};

/** As JSON.stringify writes it: white space occurs only in strings. */
export const COMPACT: JsonStyle = {
  colon: text(':'),
  comma: text(','),
  edge: EMPTY,
  ...namesOf('compact_'),
};

/** @param members content of the brackets; with `canBeEmpty`, it may also be absent */
export function bracketed(
  open: '{' | '[',
  members: Expression | null,
  canBeEmpty: boolean,
  { edge }: JsonStyle,
): Expression | null {
  const close = open === '{' ? '}' : ']';
  const empty = text(open + close);
  if (!members) return canBeEmpty ? empty : null;
  const filled = sequence(text(open), edge, members, edge, text(close));
  return canBeEmpty ? choice(empty, filled) : filled;
}

export const inQuotes = (inside: Expression): Expression => sequence(text('"'), inside, text('"'));

/** A character that stands for itself in a JSON string. */
export const PLAIN_CHARACTER = characters([0x20, 0x21], [0x23, 0x5b], [0x5d, 0x10ffff]);

const HEX = characters([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);
/** `\uXXXX` of one code point, never half of a surrogate pair. */
const UNICODE_ESCAPE = choice(
  sequence(
    characters([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]),
    HEX,
    HEX,
    HEX,
  ),
  sequence(characters([0x44, 0x44], [0x64, 0x64]), characters([0x30, 0x37]), HEX, HEX),
  sequence(
    characters([0x44, 0x44], [0x64, 0x64]),
    characters([0x38, 0x39], [0x41, 0x42], [0x61, 0x62]),
    HEX,
    HEX,
    text('\\u'),
    characters([0x44, 0x44], [0x64, 0x64]),
    characters([0x43, 0x46], [0x63, 0x66]),
    HEX,
    HEX,
  ),
);

const SHORT_ESCAPE = characters(
  ...Array.from('"/\\bfnrt').map((c): [number, number] => [c.charCodeAt(0), c.charCodeAt(0)]),
);
const ESCAPE = sequence(text('\\'), choice(SHORT_ESCAPE, sequence(text('u'), UNICODE_ESCAPE)));

export const STRING = rule('string');
/** One code point of a string, escaped or not. */
const CHARACTER = choice(PLAIN_CHARACTER, ESCAPE);
/**
 * The same without `\\uXXXX`, for strings of bounded length: each position of such a string has its
 * own states.
 */
export const COUNTED_CHARACTER = choice(PLAIN_CHARACTER, sequence(text('\\'), SHORT_ESCAPE));
export const NUMBER = rule('number');

const listOf = (item: Expression, { comma }: JsonStyle): Expression =>
  sequence(item, repeat(sequence(comma, item), 0, null));

function rulesOf(style: JsonStyle, prefix: string): [string, Expression][] {
  const { value, object, array, colon } = style;
  const members = listOf(sequence(STRING, colon, value), style);
  return [
    [
      `${prefix}value`,
      choice(STRING, NUMBER, object, array, text('true'), text('false'), text('null')),
    ],
    [`${prefix}object`, required(bracketed('{', members, true, style))],
    [`${prefix}array`, required(bracketed('[', listOf(value, style), true, style))],
  ];
}

/** Rules for JSON without a schema. A grammar includes those that it uses. */
export const JSON_RULES: ReadonlyMap<string, Expression> = new Map([
  ['string', regular(inQuotes(repeat(CHARACTER, 0, null)))],
  ['number', regular(ANY_NUMBER)],
  ...rulesOf(SPACED, ''),
  ...rulesOf(COMPACT, 'compact_'),
]);

function required(expression: Expression | null): Expression {
  if (!expression) throw new Error('the rules of JSON are never empty');
  return expression;
}

/** Maximum number of items of one list or object in a constant. */
export const MAX_LITERAL_ITEMS = 10_000;

/** More than that in one of its lists or objects. */
export function isTooLong(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const items: unknown[] = Object.values(value);
  return items.length > MAX_LITERAL_ITEMS || items.some(isTooLong);
}

/** A constant, with the style's white space. */
export function literal(value: unknown, style: JsonStyle): Expression {
  if (Array.isArray(value)) {
    if (value.length === 0) return text('[]');
    const items = value.map((item) => literal(item, style));
    return required(bracketed('[', joined(items, style), false, style));
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) =>
      sequence(text(JSON.stringify(key)), style.colon, literal(member, style)),
    );
    if (members.length === 0) return text('{}');
    return required(bracketed('{', joined(members, style), false, style));
  }
  return text(JSON.stringify(value));
}

const joined = (items: readonly Expression[], { comma }: JsonStyle): Expression =>
  sequenceOf(items.flatMap((item, index) => (index === 0 ? [item] : [comma, item])));
