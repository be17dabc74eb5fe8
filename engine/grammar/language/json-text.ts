import {
  charactersOf,
  choiceOf,
  complement,
  type Expression,
  type Grammar,
  intersect,
  type Range,
  regular,
  repeat,
  sequenceOf,
  text,
} from './expression.js';

/** Code points that a JSON string must escape: controls, the quote, the backslash. */
const ESCAPED: Range[] = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

/**
 * A grammar for texts, as one for the insides of JSON strings: characters that need it are escaped
 * in the shortest way, as JSON.stringify does. All others stand for themselves, so both grammars
 * have exactly the same texts.
 */
export function insideString(expression: Expression): Expression {
  return inside(expression, insideString);
}

/** The same for the rules of a whole grammar. */
export function insideStrings({ root, rules }: Grammar): Grammar {
  const part = (expression: Expression): Expression => {
    if (expression.kind === 'rule') return expression;
    if (expression.kind === 'regular') return regular(insideString(expression.item));
    return inside(expression, part);
  };
  const bodies = [...rules].map(([name, body]) => [name, part(body)] as const);
  return { root: part(root), rules: new Map(bodies) };
}

/** @param part what becomes of the parts of an expression */
function inside(expression: Expression, part: (item: Expression) => Expression): Expression {
  switch (expression.kind) {
    case 'text':
      return text(JSON.stringify(expression.text).slice(1, -1));
    case 'class':
      return escapedClass(expression.ranges);
    case 'sequence':
      return sequenceOf(expression.items.map(part));
    case 'choice':
      return choiceOf(expression.items.map(part));
    case 'repeat':
      return repeat(part(expression.item), expression.min, expression.max);
    case 'machine':
    case 'rule':
    case 'regular':
      throw new Error(`${expression.kind}: not a pattern`);
  }
}

function escapedClass(ranges: readonly Range[]): Expression {
  const items: Expression[] = [];
  const plain = intersect(ranges, complement(ESCAPED));
  if (plain.length > 0) items.push(charactersOf(plain));
  for (const [first, last] of intersect(ranges, ESCAPED)) {
    for (let point = first; point <= last; point++) {
      items.push(text(JSON.stringify(String.fromCodePoint(point)).slice(1, -1)));
    }
  }
  return choiceOf(items);
}

/** Bounds of a text's length in code points; null for no maximum. For patterns only. */
export function lengthBounds(expression: Expression): { min: number; max: number | null } {
  switch (expression.kind) {
    case 'text': {
      const length = Array.from(expression.text).length;
      return { min: length, max: length };
    }
    case 'class':
      return { min: 1, max: 1 };
    case 'sequence':
      return expression.items.map(lengthBounds).reduce((a, b) => ({
        min: a.min + b.min,
        max: a.max === null || b.max === null ? null : a.max + b.max,
      }));
    case 'choice':
      return expression.items.map(lengthBounds).reduce((a, b) => ({
        min: Math.min(a.min, b.min),
        max: a.max === null || b.max === null ? null : Math.max(a.max, b.max),
      }));
    case 'repeat': {
      const item = lengthBounds(expression.item);
      const max =
        item.max === 0 || expression.max === 0
          ? 0
          : item.max === null || expression.max === null
            ? null
            : item.max * expression.max;
      return { min: item.min * expression.min, max };
    }
    case 'machine':
    case 'rule':
    case 'regular':
      throw new Error(`${expression.kind}: not a pattern`);
  }
}
