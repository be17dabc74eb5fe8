import type { RuntimeValue as Value } from './python-text.js';

/**
 * Operators whose results differ between Python and the library, except those that join texts.
 *
 * @returns undefined where they do not differ
 * @throws TypeError for operands that Python refuses
 */
export function binary(operator: string, left: Value, right: Value): boolean | undefined {
  switch (operator) {
    case '==':
      return isEqual(left, right);
    case '!=':
      return !isEqual(left, right);
    case '+': {
      const isText = (value: Value): boolean => value.type === 'StringValue';
      if (isText(left) === isText(right)) return undefined;
      const other = isText(left) ? right : left;
      throw new TypeError(`it adds ${KINDS[other.type] ?? 'something else'} to a text`);
    }
    default:
      return undefined;
  }
}

const KINDS: Readonly<Record<string, string>> = {
  UndefinedValue: 'something undefined',
  NullValue: 'none',
  ObjectValue: 'an object',
  ArrayValue: 'a list',
  IntegerValue: 'a number',
  FloatValue: 'a number',
  BooleanValue: 'true or false',
};

const NUMBERS = new Set(['IntegerValue', 'FloatValue', 'BooleanValue']);

/** Compares by content, as Python does. */
function isEqual(left: Value, right: Value): boolean {
  if (NUMBERS.has(left.type) && NUMBERS.has(right.type)) {
    return Number(left.value) === Number(right.value);
  }
  if (left.type !== right.type) return false;
  if (Array.isArray(left.value) && Array.isArray(right.value)) {
    const others = right.value as Value[];
    return (
      left.value.length === others.length &&
      (left.value as Value[]).every((value, i) => isEqual(value, others[i]))
    );
  }
  if (left.value instanceof Map && right.value instanceof Map) {
    const others = right.value as Map<string, Value>;
    return (
      left.value.size === others.size &&
      [...(left.value as Map<string, Value>)].every(([key, value]) => {
        const other = others.get(key);
        return other !== undefined && isEqual(value, other);
      })
    );
  }
  return left.value === right.value;
}
