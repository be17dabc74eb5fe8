import { matchesPattern } from '../language/matcher.js';
import { alternatives } from './alternatives.js';
import { isMultiple } from './decimal.js';
import { matchesFormat } from './formats.js';
import type { Kind } from './keyword-reader.js';
import { child, isObject, type Meet, type SchemaDocument } from './located.js';
import { itemMeet, propertyMeet } from './member-schemas.js';
import { isEqual, type Shape, shapeOf } from './shape.js';

/**
 * Whether a value is valid by the keywords that are enforced. Used for constants of a schema and to
 * compare alternatives, never for texts of a model.
 */
export function accepts(meet: Meet, value: unknown, document: SchemaDocument): boolean {
  return alternatives(meet, document).some((list) => acceptsList(list, value, document));
}

/** The same for a list whose references and alternatives are resolved. */
export function acceptsList(list: Meet, value: unknown, document: SchemaDocument): boolean {
  const shape = shapeOf(list);
  if (!shape?.kinds.has(kindOf(value))) return false;
  if (shape.values && !shape.values.some((allowed) => isEqual(allowed, value))) return false;
  if (typeof value === 'number') return isInBounds(value, shape);
  if (typeof value === 'string') return isText(value, shape, document);
  if (Array.isArray(value)) {
    if (value.length < shape.minItems || value.length > (shape.maxItems ?? Infinity)) return false;
    if (
      shape.uniqueItems !== null &&
      value.some((item, i) => value.slice(0, i).some((other) => isEqual(item, other)))
    ) {
      return false;
    }
    return value.every((item, index) => accepts(itemMeet(shape, index), item, document));
  }
  if (!isObject(value)) return true;
  const keys = Object.keys(value);
  if (keys.length < shape.minProperties || keys.length > (shape.maxProperties ?? Infinity))
    return false;
  if (shape.required.some((name) => !Object.hasOwn(value, name))) return false;
  return keys.every(
    (key) =>
      accepts(propertyMeet(shape, key, document), value[key], document) &&
      accepts(nameMeet(shape), key, document),
  );
}

/** The schemas that hold for names of properties. */
export const nameMeet = ({ parts }: Shape): Meet =>
  parts.flatMap(({ located, schema }) =>
    schema['propertyNames'] === undefined ? [] : [child(located, 'propertyNames')],
  );

export function kindOf(value: unknown): Kind {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'fraction';
  if (typeof value === 'boolean') return 'boolean';
  return typeof value === 'string' ? 'string' : 'object';
}

function isInBounds(value: number, { min, max, multipleOf }: Shape): boolean {
  if (multipleOf && !isMultiple(value, multipleOf)) return false;
  if (min && (value < min.value || (min.isExclusive && value === min.value))) return false;
  return !max || value < max.value || (!max.isExclusive && value === max.value);
}

function isText(value: string, shape: Shape, document: SchemaDocument): boolean {
  const length = Array.from(value).length;
  if (length < shape.minLength || length > (shape.maxLength ?? Infinity)) return false;
  return (
    shape.patterns.every(({ value: pattern, pointer }) =>
      matchesPattern(pattern, value, `the JSON schema at ${pointer}`, document.work),
    ) && shape.formats.every((format) => matchesFormat(format.value, value))
  );
}
