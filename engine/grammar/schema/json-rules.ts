import {
  characters,
  choice,
  type Expression,
  optional,
  regular,
  repeat,
  rule,
  sequence,
  text,
} from '../language/expression.js';
import { ANY_NUMBER } from './numbers.js';

/**
 * White space. A model must be able to write JSON as it has learned to (`{"a": 1}`, or one member a line), and must not be able to
 * write white space for ever: each place takes at most one space, or one line end with an indent.
 */
const MAX_INDENT = 24;
const LINE = sequence(text('\n'), repeat(text(' '), 0, MAX_INDENT));

/** Behind a colon. */
export const COLON = sequence(text(':'), optional(text(' ')));
/** Between two members. */
export const COMMA = sequence(text(','), optional(choice(text(' '), LINE)));
/** Inside of brackets that are not empty. */
const EDGE = optional(LINE);

/** @param members what stands in the brackets; `canBeEmpty`: or nothing */
export function bracketed(
  open: '{' | '[',
  members: Expression | null,
  canBeEmpty: boolean,
): Expression | null {
  const close = open === '{' ? '}' : ']';
  const empty = text(open + close);
  if (!members) return canBeEmpty ? empty : null;
  const filled = sequence(text(open), EDGE, members, EDGE, text(close));
  return canBeEmpty ? choice(empty, filled) : filled;
}

export const inQuotes = (inside: Expression): Expression => sequence(text('"'), inside, text('"'));

/** A character that stands for itself in a JSON string. */
export const PLAIN_CHARACTER = characters([0x20, 0x21], [0x23, 0x5b], [0x5d, 0x10ffff]);

const HEX = characters([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);
/** `\uXXXX` of one code point: half of a surrogate pair is no text. */
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
/** One code point of a string, in whatever way it is written. */
const CHARACTER = choice(PLAIN_CHARACTER, ESCAPE);
/** The same without `\\uXXXX`, for strings whose length counts: each place of such a string has states of its own. */
export const COUNTED_CHARACTER = choice(PLAIN_CHARACTER, sequence(text('\\'), SHORT_ESCAPE));
export const NUMBER = rule('number');
export const VALUE = rule('value');
export const OBJECT = rule('object');
export const ARRAY = rule('array');

const listOf = (item: Expression): Expression =>
  sequence(item, repeat(sequence(COMMA, item), 0, null));

/** JSON without a schema. A grammar takes the rules that it uses. */
export const JSON_RULES: ReadonlyMap<string, Expression> = new Map([
  ['string', regular(inQuotes(repeat(CHARACTER, 0, null)))],
  ['number', regular(ANY_NUMBER)],
  ['value', choice(STRING, NUMBER, OBJECT, ARRAY, text('true'), text('false'), text('null'))],
  ['object', required(bracketed('{', listOf(sequence(STRING, COLON, VALUE)), true))],
  ['array', required(bracketed('[', listOf(VALUE), true))],
]);

function required(expression: Expression | null): Expression {
  if (!expression) throw new Error('the rules of JSON are never empty');
  return expression;
}

/** Of one list or object in a value that is known. */
export const MAX_LITERAL_ITEMS = 10_000;

/** A value that is known, written with the white space that all JSON has. */
export function literal(value: unknown): Expression {
  if (Array.isArray(value)) {
    if (value.length === 0) return text('[]');
    return required(bracketed('[', joined(value.map(literal)), false));
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) =>
      sequence(text(JSON.stringify(key)), COLON, literal(member)),
    );
    if (members.length === 0) return text('{}');
    return required(bracketed('{', joined(members), false));
  }
  return text(JSON.stringify(value));
}

function joined(items: readonly Expression[]): Expression {
  return sequence(...items.flatMap((item, index) => (index === 0 ? [item] : [COMMA, item])));
}
