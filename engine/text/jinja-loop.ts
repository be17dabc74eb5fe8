import {
  type Environment,
  integerValue,
  type Node,
  objectValue,
  scopeIn,
  textValue,
  truthValue,
} from './jinja-library.js';
import type { RuntimeValue } from './python-text.js';

/** Types that loops accept; an undefined value counts as an empty list. */
const ITERABLE = new Set([
  'ArrayValue',
  'TupleValue',
  'ObjectValue',
  'StringValue',
  'UndefinedValue',
]);

export const isIterable = ({ type }: RuntimeValue): boolean => ITERABLE.has(type);

/**
 * The items of a loop: those of a list, the keys of an object, the characters of a string; none for
 * an undefined value.
 */
export function itemsOf({ type, value }: RuntimeValue): readonly RuntimeValue[] {
  if (type === 'UndefinedValue') return [];
  if (Array.isArray(value)) return value as RuntimeValue[];
  if (value instanceof Map) return Array.from(value.keys() as Iterable<string>, textValue);
  if (typeof value === 'string') return Array.from(value, textValue);
  throw new TypeError(`it loops over ${type.replace('Value', '').toLowerCase()}`);
}

/** Names of a loop's variables: one, or a tuple. */
export const loopNames = ({ type, value }: Node): string[] =>
  type === 'TupleLiteral' ? (value as Node[]).flatMap(loopNames) : [String(value)];

/** A scope with the loop's variables: the item itself, or its parts. */
export function loopScope(
  names: readonly string[],
  item: RuntimeValue,
  parent: Environment,
): Environment {
  const scope = scopeIn(parent);
  if (names.length === 1) {
    scope.setVariable(names[0], item);
    return scope;
  }
  const { value } = item;
  if (!Array.isArray(value) || value.length !== names.length) {
    throw new TypeError(`it takes ${names.length} variables from an item that has not as many`);
  }
  for (const [i, part] of (value as RuntimeValue[]).entries()) scope.setVariable(names[i], part);
  return scope;
}

/** The variable `loop` of one turn. */
export function loopVariable(items: readonly RuntimeValue[], index: number): RuntimeValue {
  const { length } = items;
  const fields = new Map([
    ['index', integerValue(index + 1)],
    ['index0', integerValue(index)],
    ['revindex', integerValue(length - index)],
    ['revindex0', integerValue(length - index - 1)],
    ['first', truthValue(index === 0)],
    ['last', truthValue(index === length - 1)],
    ['length', integerValue(length)],
  ]);
  // Undefined at the first and the last item.
  if (index > 0) fields.set('previtem', items[index - 1]);
  if (index < length - 1) fields.set('nextitem', items[index + 1]);
  return objectValue(fields);
}
