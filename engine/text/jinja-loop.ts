import type { RuntimeValue } from './python-text.js';

/**
 * The items of a loop: those of a list, the keys of an object, the characters of a string; none for
 * an undefined value.
 */
export function itemsOf(
  iterable: RuntimeValue,
  runtime: (value: unknown) => RuntimeValue,
): readonly RuntimeValue[] {
  const { type, value } = iterable;
  if (type === 'UndefinedValue') return [];
  if (Array.isArray(value)) return value as RuntimeValue[];
  if (value instanceof Map) return Array.from(value.keys(), runtime);
  if (typeof value === 'string') return Array.from(value, runtime);
  throw new TypeError(`it loops over ${type.replace('Value', '').toLowerCase()}`);
}

/** Values for the loop's variables, by name: the item itself, or its parts. */
export function unpack(names: readonly string[], item: RuntimeValue): [string, RuntimeValue][] {
  if (names.length === 1) return [[names[0], item]];
  const { value } = item;
  if (Array.isArray(value) && value.length === names.length) {
    return (value as RuntimeValue[]).map((part, i) => [names[i], part]);
  }
  throw new TypeError(`it takes ${names.length} variables from an item that has not as many`);
}

/** The variable `loop` of one turn. */
export function loopVariable(
  items: readonly RuntimeValue[],
  index: number,
  runtime: (value: unknown) => RuntimeValue,
): RuntimeValue {
  const { length } = items;
  const loop = runtime({
    index: index + 1,
    index0: index,
    revindex: length - index,
    revindex0: length - index - 1,
    first: index === 0,
    last: index === length - 1,
    length,
  });
  // Undefined at the first and the last item.
  const fields = loop.value as Map<string, RuntimeValue>;
  if (index > 0) fields.set('previtem', items[index - 1]);
  if (index < length - 1) fields.set('nextitem', items[index + 1]);
  return loop;
}
